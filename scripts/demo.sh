#!/usr/bin/env bash
# The tour: three nodes, real data, the leader killed, a changed policy. Everything lives in build/demo and is made anew each
# time.
#
# The data: every stanza of this machine's package database (dpkg's status file), keyed by package. With a terminal it
# ends in a console on a running node; without one it ends with 0.
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
leave() { for i in "${!cluster_pids[@]}"; do cluster_kill "$i"; done; }
at() { echo "127.0.0.1:${cluster_ports[$1]}"; } # the endpoint of one node
trap leave EXIT
trap 'exit 130' INT TERM

rm -rf "$dir"
mkdir -p "$dir/lua"
cp -r lua/. "$dir/lua/"

step "1. Three nodes on this machine, one cluster: build/demo (logs: build/demo/1.log, 2.log, 3.log)"
cluster_new "$dir" 3 "policy = { lua_dir = '$dir/lua' }," || die "init failed"
for i in 1 2 3; do cluster_start "$i" || die "node $i did not start"; done
cat "$dir"/[123].ready | sed 's/^/    /'
leader=$(cluster_leader) || die "nobody was elected"
echo "    node $leader was elected; every write is on a majority of the disks before it is answered"

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

step "4. kill -9 of the leader: the others go on, and have everything"
cluster_kill "$leader"
echo "    node $leader is dead"
show "$flotilla" kv put tour/after "written after node $leader died" || die "no write without node $leader"
next=$(cluster_leader) || die "nobody took over"
echo "    node $next leads now"
show "$flotilla" kv delete tour/after
after=$("$flotilla" kv dump | sha256sum) || die "dump failed"
[ "$before" = "$after" ] || die "the digest differs under the new leader: ${after%% *}"
echo "    digest ${after%% *}: the same"
cluster_start "$leader" || die "node $leader did not start again"
echo "    node $leader is back, and catches up"

step "5. Versioned keys and timestamps"
show "$flotilla" kv cas config/leader --expect 0 anna
show "$flotilla" kv cas config/leader --expect 0 berta
show "$flotilla" tso --count 3

step "6. A policy, changed while the node runs: above which size does lua/split.lua split a region?"
# The first of the proposals of the last plan, or why there is none. Whoever leads asks the policies.
leader=$(cluster_leader) || die "nobody leads"
plan() { "$flotilla" console -e "$(at "$leader")" -o json --eval "(function(p) return p.proposals[1] or p.notes end)(plan())"; }
show grep -n 'max_bytes = {' "$dir/lua/split.lua"
echo "  what it says about this cluster's region:"
for ((i = 0; i < 300; i++)); do
    plan | grep -q 'max_bytes' && break # the first plan comes a few seconds after the start
    sleep 0.1
done
plan | sed 's/^/    /'
sed -i 's/\(max_bytes = {.*default = \)[^,]*/\1256 * 1024/' "$dir/lua/split.lua"
show grep -n 'max_bytes = {' "$dir/lua/split.lua"
for i in 1 2 3; do show "$flotilla" policy reload -e "$(at $i)" || die "reload failed"; done
for ((i = 0; i < 300; i++)); do
    plan | grep -q '"split"' && break
    sleep 0.1
done
echo "  and now (proposals are shown and logged; regions do not split yet):"
plan | sed 's/^/    /'
plan | grep -q '"split"' || die "the changed policy proposes nothing"

step "7. A broken script changes nothing: the last good one keeps running"
echo "return { api = 1, nonsense" >>"$dir/lua/split.lua"
"$flotilla" policy reload -e "$(at "$leader")" && die "a broken script was accepted"
show "$flotilla" policy list -e "$(at "$leader")"
cp lua/split.lua "$dir/lua/split.lua"

if [ -t 0 ] && [ -t 1 ]; then
    step "8. A console on the leader (:help, Ctrl-D leaves and stops the cluster)"
    "$flotilla" console -e "$(at "$leader")"
fi
cluster_stop || die "a node did not stop cleanly"
step "The tour is over. To keep a node: see the README (flotilla init, flotilla start)."
