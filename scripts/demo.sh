#!/usr/bin/env bash
# The tour: a node, real data, a kill, a changed policy. Everything lives in build/demo and is made anew each time.
#
# The data: every stanza of this machine's package database (dpkg's status file), keyed by package. With a terminal it
# ends in a console on the running node; without one it ends with 0.
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need_program
cd "$(dirname "$0")/.."
dir=$PWD/build/demo
status=${DPKG_STATUS:-/var/lib/dpkg/status}
[ -r "$status" ] || die "there is no $status to load (set DPKG_STATUS to such a file)"

bold='' plain=''
if [ -t 1 ]; then bold=$(tput bold 2>/dev/null) plain=$(tput sgr0 2>/dev/null); fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() {
    printf '  $ %s\n' "${*/#$flotilla/flotilla}"
    "$@" 2>&1 | sed 's/^/    /'
    return "${PIPESTATUS[0]}"
}
leave() { node_kill; }
trap leave EXIT
trap 'exit 130' INT TERM

rm -rf "$dir"
mkdir -p "$dir/lua"
cp -r lua/. "$dir/lua/"

step "1. A node of its own: build/demo (log: build/demo/log)"
node_new "$dir" "policy = { lua_dir = '$dir/lua' }," || die "init failed"
node_start || die "the node did not start"
sed 's/^/    /' "$dir/ready"

step "2. Every stanza of $status, keyed by package"
awk '
    function flush() { if (name != "") { print name "\t" text } name = ""; text = "" }
    /^$/ { flush(); next }
    /^Package: / { name = "pkg/" $2 }
    { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); gsub(/\t/, "\\t"); text = text $0 "\\n" }
    END { flush() }' "$status" |
    awk -F '\t' '{ printf "{\"key_text\":\"%s\",\"value_text\":\"%s\"}\n", $1, $2 }' >"$dir/packages.jsonl"
stanzas=$(grep -c '^Package: ' "$status")
"$flotilla" kv load "$dir/packages.jsonl" || die "load failed"

step "3. Read some of it back"
show "$flotilla" kv scan --from pkg/libl --to pkg/libm --limit 5 --keys-only
"$flotilla" kv get pkg/libc6 -o raw | head -4 | sed 's/^/    /'
before=$("$flotilla" kv dump | sha256sum) || die "dump failed"
rows=$("$flotilla" kv dump | wc -l)
[ "$rows" -ge "$(sort -u <(grep '^Package: ' "$status") | wc -l)" ] || die "$rows rows of $stanzas stanzas"
echo "    $rows rows, digest ${before%% *}"

step "4. kill -9, and start again"
node_kill
node_start || die "the node did not start again"
after=$("$flotilla" kv dump | sha256sum) || die "dump failed"
[ "$before" = "$after" ] || die "the digest differs after the restart: ${after%% *}"
echo "    digest ${after%% *}: the same"

step "5. Versioned keys and timestamps"
show "$flotilla" kv cas config/leader --expect 0 anna
show "$flotilla" kv cas config/leader --expect 0 berta
show "$flotilla" tso --count 3

step "6. A policy, changed while the node runs: above which size does lua/split.lua split a region?"
# The first of the proposals of the last plan, or why there is none.
plan() { "$flotilla" console -o json --eval "(function(p) return p.proposals[1] or p.notes end)(plan())"; }
show grep -n 'max_bytes = {' "$dir/lua/split.lua"
echo "  what it says about this node's region:"
for ((i = 0; i < 300; i++)); do
    plan | grep -q 'max_bytes' && break # the first plan comes a few seconds after the start
    sleep 0.1
done
plan | sed 's/^/    /'
sed -i 's/\(max_bytes = {.*default = \)[^,]*/\1256 * 1024/' "$dir/lua/split.lua"
show grep -n 'max_bytes = {' "$dir/lua/split.lua"
show "$flotilla" policy reload || die "reload failed"
for ((i = 0; i < 300; i++)); do
    plan | grep -q '"split"' && break
    sleep 0.1
done
echo "  and now (proposals are shown and logged; one node has nobody to carry them out):"
plan | sed 's/^/    /'
plan | grep -q '"split"' || die "the changed policy proposes nothing"

step "7. A broken script changes nothing: the last good one keeps running"
echo "return { api = 1, nonsense" >>"$dir/lua/split.lua"
"$flotilla" policy reload && die "a broken script was accepted"
show "$flotilla" policy list
cp lua/split.lua "$dir/lua/split.lua"

if [ -t 0 ] && [ -t 1 ]; then
    step "8. A console on the node (:help, Ctrl-D leaves and stops it)"
    "$flotilla" console
fi
node_stop || die "the node did not stop cleanly"
step "The tour is over. To keep a node: see the README (flotilla init, flotilla start)."
