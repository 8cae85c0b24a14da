#!/usr/bin/env bash
# The console against a node of its own: statements by --eval and standard input, then at a terminal (by expect).
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../scripts/lib.sh
. scripts/lib.sh
# shellcheck source=expect.sh
. tests/expect.sh
need_program
f=$flotilla
export XDG_STATE_HOME=$tmp/state HOME=$tmp
export LC_ALL=C.UTF-8 # expect sends what its locale can say; a fresh machine may have none
leave() {
    node_kill
    rm -rf "$tmp"
}
trap leave EXIT
trap 'exit 130' INT TERM

node_new "$tmp/node" "console = { sessions_max = 4 }, policy = { session_deadline_ms = '60s', session_instructions = 1000000000000 }," ||
    die 'init failed'
node_start || die 'the node did not start'
"$f" kv put greeting hello || die 'put failed'

case_of '--eval'
run 0 "$f" console --eval '1 + 1'
is 2
run 0 "$f" console --eval '1 + 1' -o json
is 2
run 0 "$f" console --eval '{ a = 1, b = { "x" } }' -o json
says '"a"'
says '"x"'
run 0 "$f" console --eval '{ a = 1 }' -o lua
says 'a = 1'
run 0 "$f" console --eval '{ { id = 1, name = "one" }, { id = 2, name = "two" } }'
says 'name'
says 'two'
run 0 "$f" console --eval 'print("printed"); return 5'
is "$(printf 'printed\n5')"
run 1 "$f" console --eval 'error("boom")'
errs boom
run 1 "$f" console --eval 'local x = nil; return x.y'
errs "index local 'x'"
run 1 "$f" console --eval 'return ('
errs 'not finished'
run 1 "$f" console --eval 'return )'
run 1 "$f" console --eval 'io.open("/etc/passwd")'
run 0 "$f" console --eval 'status()' -o json
says '"node_id"'
run 0 "$f" console --timing --eval 1
errs 'ms, '

case_of 'finding the socket'
socket=$("$f" status -o json | sed -n 's/.*"console": *"unix:\([^"]*\)".*/\1/p')
[ -S "$socket" ] || failed "the status names no socket: $socket"
run 0 "$f" console --socket "$socket" --eval 7
is 7
run 0 "$f" -e "unix:$socket" console --eval 7
run 4 "$f" console --socket "$tmp/no.sock" --eval 7
errs "$tmp/no.sock"
[ "$(stat -c %a "$socket")" = 600 ] || failed "the socket's mode is $(stat -c %a "$socket")"

case_of 'standard input'
printf 'x = 20\nx = x + 1\nfunction f(a)\n  return a * 2\nend\nf(x)\n' >"$tmp/in.lua"
"$f" console <"$tmp/in.lua" >"$tmp/out" 2>"$tmp/err" || failed "statements from a file: $(cat "$tmp/err")"
[ "$(cat "$tmp/out")" = 42 ] || failed "statements from a file say $(cat "$tmp/out")"
printf 'error("first")\nprint("second")\n' | "$f" console >"$tmp/out" 2>"$tmp/err"
[ $? = 1 ] || failed 'an error in a file exits with 1'
grep -q second "$tmp/out" && failed 'a file goes on behind an error'
printf 'if true then\n' | "$f" console >"$tmp/out" 2>"$tmp/err"
[ $? = 1 ] && grep -q 'not finished' "$tmp/err" || failed 'an unfinished file exits with 1'

case_of 'a session is a connection'
run 0 "$f" console --eval 'leak = 1'
run 0 "$f" console --eval 'leak == nil'
is true

case_of 'others are not let in'
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$tmp" "$tmp/node" "$tmp/node/data"
    chmod 666 "$socket"
    cp "$f" "$tmp/flotilla" 2>/dev/null
    run 3 setpriv --reuid=65534 --regid=65534 --clear-groups "$tmp/flotilla" console --socket "$socket" --eval 1
    errs 'you may not connect'
    chmod 600 "$socket"
else
    echo "skip: letting a stranger try the console needs root and setpriv"
fi

case_of 'too many sessions'
pids=() fds=()
for i in 1 2 3 4; do
    mkfifo "$tmp/in.$i"
    "$f" console --socket "$socket" <"$tmp/in.$i" >"$tmp/held.$i" 2>&1 &
    pids+=($!)
    exec {fd}>"$tmp/in.$i"
    fds+=("$fd")
    echo "print('held')" >&"$fd"
done
for ((i = 0; i < 400; i++)); do
    [ "$(cat "$tmp"/held.* | grep -c held)" = 4 ] && break
    sleep 0.05
done
run 1 "$f" console --eval 1
errs '4'
for fd in "${fds[@]}"; do exec {fd}>&-; done
for p in "${pids[@]}"; do wait "$p" || failed 'a held console ends with an error'; done
for ((i = 0; i < 400; i++)); do
    "$f" console --eval 1 >/dev/null 2>&1 && break
    sleep 0.05
done
run 0 "$f" console --eval 1

# Waits until the node has so many console sessions: then their statements have arrived.
http=$(sed -n 's/.*http on //p' "$node_dir/ready")
wait_sessions() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        [ "$(curl -s "http://$http/metrics" | sed -n 's/^flotilla_script_sessions \([0-9]*\).*/\1/p')" = "$1" ] && return 0
        sleep 0.05
    done
    failed "the node does not come to have $1 sessions"
}

case_of 'Ctrl-C ends a script on the node'
wait_sessions 0
"$f" console --eval 'while true do end' >"$tmp/out" 2>"$tmp/err" &
loop=$!
wait_sessions 1
kill -INT $loop
wait $loop
code=$?
[ $code = 130 ] || failed "Ctrl-C while a script runs exits with $code: $(cat "$tmp/err")"
grep -q cancelled "$tmp/err" || failed "Ctrl-C while a script runs says $(cat "$tmp/err")"
run 0 "$f" console --eval 1

case_of 'a console that vanishes takes its script along'
wait_sessions 0
"$f" console --eval 'while true do end' >"$tmp/out" 2>"$tmp/err" &
loop=$!
wait_sessions 1
kill -9 $loop
wait $loop 2>/dev/null
wait_sessions 0
run 0 "$f" kv get greeting
is hello

case_of 'at a terminal'
if ! command -v expect >/dev/null; then
    echo "skip: the console at a terminal needs expect (scripts/deps.sh test)"
elif ! expect -c 'spawn -noecho true' >/dev/null 2>&1; then
    echo "skip: the console at a terminal needs one, and this system gives none (is /dev/pts mounted?)"
else
    run 0 tests/console.exp "$f" "$socket"
    run 0 cat "$tmp/state/flotilla/history"
    says 'remembered'
    [ "$(stat -c %a "$tmp/state/flotilla/history")" = 600 ] || failed 'others can read the history'
    run 0 tests/console.exp "$f" "$socket" again
fi

case_of 'the node ends'
wait_sessions 0
"$f" console --socket "$socket" --eval 'while true do end' >"$tmp/out" 2>"$tmp/err" &
loop=$!
wait_sessions 1
node_stop || failed 'a running script keeps the node from stopping cleanly'
wait $loop
[ $? != 0 ] || failed 'a console whose node stops exits with 0'

finish
