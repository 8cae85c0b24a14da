#!/usr/bin/env bash
# Row 001-30: the core works. Starts a node (PD role and server in one process), then: a timestamp; RawPut and RawGet
# match; CAS succeeds; CAS conflicts and names the current version. Exits with 0, leaves no process and no port
# behind; exits with 1 and says what differed on any mismatch.
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need_program
dir=$(mktemp -d)
leave() {
    node_kill
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM

# expect WHAT HAVE WANT
expect() {
    if [ "$2" = "$3" ]; then
        echo "ok      $1"
    else
        die "$1: got \"$2\", expected \"$3\""
    fi
}

node_new "$dir" || die "init failed"
node_start || die "the node did not start"
echo "node    $pid at $endpoint"

first=$("$flotilla" tso --count 1 -o raw) || die "tso failed"
second=$("$flotilla" tso --count 1 -o raw) || die "tso failed"
[ "$second" -gt "$first" ] && [ "$first" -gt 0 ] || die "tso: $second is not above $first"
behind=$(($(date +%s%3N) - (first >> 18)))
[ ${behind#-} -lt 1000 ] || die "tso: its physical part is $behind ms from this clock"
echo "ok      tso: $first < $second"

"$flotilla" kv put k1 v1 >/dev/null || die "put failed"
expect "get after put" "$("$flotilla" kv get k1 -o raw)" v1
"$flotilla" kv get missing >/dev/null 2>&1
expect "exit code of a miss" $? 1
"$flotilla" kv put empty '' >/dev/null || die "put of an empty value failed"
"$flotilla" kv get empty -o raw >/dev/null
expect "an empty value is found" $? 0

expect "cas of an absent key" "$("$flotilla" kv cas c1 --expect 0 one -o raw)" 1
expect "cas of version 1" "$("$flotilla" kv cas c1 --expect 1 two -o raw)" 2
expect "get --cas" "$("$flotilla" kv get c1 --cas -o raw)" two
message=$("$flotilla" kv cas c1 --expect 5 three -o raw 2>&1)
expect "exit code of a conflict" $? 1
case $message in
*"version"*2*) echo "ok      the conflict names version 2: $message" ;;
*) die "the conflict does not name the current version: $message" ;;
esac
expect "a conflict changes nothing" "$("$flotilla" kv get c1 --cas -o raw)" two

node_kill
echo "kill    -9"
node_start || die "the node did not start again"
expect "get after kill -9" "$("$flotilla" kv get k1 -o raw)" v1
expect "get --cas after kill -9" "$("$flotilla" kv get c1 --cas -o raw)" two
third=$("$flotilla" tso --count 1 -o raw) || die "tso failed"
[ "$third" -gt "$second" ] || die "tso after restart: $third is not above $second"
echo "ok      tso after kill -9: $third"

port=${endpoint##*:}
node_stop
expect "exit code of a clean stop" $? 0
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is still open"; fi
echo "ok      no process and no port is left"
echo "verify-core: all well"
