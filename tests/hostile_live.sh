#!/usr/bin/env bash
# Every hostile script of runtime/script/hostile runs in consoles of a live node while 1,000 GETs per second arrive
# open-loop: each script ends, every GET is answered, and the node is as it was.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../scripts/lib.sh
. scripts/lib.sh
need_program
loadgen=$(dirname "$flotilla")/loadgen
dir=$(mktemp -d)
leave() {
    node_kill
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM

# Small budgets: what matters here is the neighbours, not how long a script may run.
node_new "$dir" "policy = { session_instructions = 30000000, session_deadline_ms = 1000 }," && node_start ||
    die "the node did not start"
"$flotilla" kv put before hostile >/dev/null || die "put failed"

seconds=${SECONDS_EACH:-25}
"$loadgen" --endpoint "$endpoint" --op get --rate 1000 --callers 64 --connections 4 --seconds "$seconds" \
    --value 128 --keys 10000 >"$dir/load.txt" 2>&1 &
load=$!
sleep 1 # the keys are being filled in; the scripts may as well meet that

# One script in one console: it must end by itself, with an answer, well before this limit.
export flotilla FLOTILLA_ENDPOINT
one() {
    timeout 60 "$flotilla" console --eval "$(cat "$1")" >/dev/null 2>"$2/$(basename "$1").err"
    local code=$?
    [ $code -le 4 ] || # its answer, an error of the script, or a budget or deadline that ended it
        echo "$(basename "$1") ended with $code: $(head -1 "$2/$(basename "$1").err")"
}
export -f one
count=0
mkdir "$dir/err"
while kill -0 $load 2>/dev/null; do
    find runtime/script/hostile -name '*.lua' | sort | xargs -P 4 -I{} bash -c 'one {} '"$dir/err" >>"$dir/bad.txt"
    count=$((count + $(find runtime/script/hostile -name '*.lua' | wc -l)))
    [ $count -lt 400 ] || break
done
wait $load || {
    cat "$dir/load.txt" >&2
    die "loadgen failed"
}
cat "$dir/load.txt"
[ ! -s "$dir/bad.txt" ] || {
    cat "$dir/bad.txt" >&2
    die "a script did not end as it should"
}
grep -q '^errors 0,' "$dir/load.txt" || die "not every GET was answered"
answered=$(awk '$1 == "get" { print $2 }' "$dir/load.txt")
[ "$answered" -ge $((seconds * 1000 * 95 / 100)) ] || die "only $answered GETs in $seconds s"
[ "$("$flotilla" kv get before -o raw)" = hostile ] || die "the node is not as it was"
node_stop || die "the node did not stop cleanly"
echo "hostile_live: $count runs of hostile scripts, $answered GETs, all answered"
