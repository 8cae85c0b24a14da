#!/usr/bin/env bash
# The program against a node of its own: every command, its exit codes, what it says when something is wrong.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../scripts/lib.sh
. scripts/lib.sh
# shellcheck source=expect.sh
. tests/expect.sh
need_program
f=$flotilla
first_pid=''
leave() {
    node_kill
    if [ -n "$first_pid" ]; then
        pid=$first_pid
        node_kill
    fi
    rm -rf "$tmp"
}
trap leave EXIT
trap 'exit 130' INT TERM

case_of 'a node begins'
mkdir "$tmp/lua"
cp -r lua/. "$tmp/lua/"
cat >"$tmp/early.lua" <<LUA
return { data_dir = '$tmp/node/data', address = '127.0.0.1:0', http = { address = '' } }
LUA
run 3 "$f" start --config "$tmp/early.lua"
errs 'flotilla init'
node_new "$tmp/node" "policy = { lua_dir = '$tmp/lua', params = { split = { max_ops = 777 } } }, log = { level = 'info' }," || die 'init failed'
run 3 "$f" init --config "$tmp/node/node.lua"
errs "$tmp/node/data"
run 2 "$f" init --config "$tmp/nowhere.lua"
errs 'No such file'
node_start || die 'the node did not start'
port=${endpoint##*:}
run 3 "$f" start --config "$tmp/node/node.lua"
errs 'another process has the store'
cat >"$tmp/port.lua" <<LUA
return { data_dir = '$tmp/port', address = '127.0.0.1:$port', http = { address = '' } }
LUA
run 0 "$f" init --config "$tmp/port.lua"
run 4 "$f" start --config "$tmp/port.lua"
errs "127.0.0.1:$port is in use"

case_of 'raw keys'
run 0 "$f" kv put k1 v1
is ''
run 0 "$f" kv get k1
is v1
run 0 "$f" kv get k1 -o raw
is v1
run 0 "$f" kv get k1 -o json
is '"v1"'
run 0 "$f" kv get k1 -o lua
is '"v1"'
run 1 "$f" kv get missing
is ''
errs 'flotilla kv get: there is no key "missing"'
run 0 "$f" kv put empty ''
run 0 "$f" kv get empty -o json
is '""'
run 0 "$f" kv delete k1
run 1 "$f" kv get k1
run 0 "$f" kv delete k1
run 2 "$f" kv put '' v
errs 'the key is empty'
run 2 "$f" kv get --frob k1
run 3 "$f" kv put "$(printf 'k%.0s' {1..5000})" v
errs '4096'

case_of 'bytes'
head -c 70000 "$f" >"$tmp/bytes" # a program has every byte
"$f" kv put blob - <"$tmp/bytes" || failed 'put from standard input'
"$f" kv get blob -o raw >"$tmp/back"
cmp -s "$tmp/bytes" "$tmp/back" || failed 'a value came back different'
run 0 "$f" kv put --hex 00ff '0a1b5b'
run 0 "$f" kv get --hex 00ff
is 0a1b5b
run 0 "$f" kv get --base64 AP8=
is Chtb
run 0 "$f" kv get --base64 AP8= -o json
is '"\n\u001b["'
run 0 "$f" kv scan --hex --from 00 --to 01
says '00ff  0a1b5b'
run 0 "$f" kv scan --from "$(printf '\001')" --to b --limit 1
run 0 "$f" kv put esc "$(printf 'red\033[31m\nline')"
run 0 "$f" kv get esc
is 'red\x1b[31m\nline'
run 2 "$f" kv get --hex 0
errs 'not an even number of hexadecimal digits'

case_of 'scan'
for i in 1 2 3 4 5; do "$f" kv put "scan/$i" "value $i" || failed put; done
run 0 "$f" kv scan --from scan/ --to scan0
is "$(printf 'key     value\nscan/1  value 1\nscan/2  value 2\nscan/3  value 3\nscan/4  value 4\nscan/5  value 5')"
run 0 "$f" kv scan --from scan/2 --to scan/4 --limit 100 -o json
is "$(printf '[{"key":"scan/2","value":"value 2"},\n {"key":"scan/3","value":"value 3"}]')"
run 0 "$f" kv scan --from scan/ --to scan0 --limit 2 -o raw
is "$(printf 'scan/1\tvalue 1\nscan/2\tvalue 2')"
errs 'there are more rows'
run 0 "$f" kv scan --from scan/ --to scan0 --limit 5 --keys-only -o raw
is "$(printf 'scan/1\nscan/2\nscan/3\nscan/4\nscan/5')"
[ -z "$err" ] || failed "five of five rows are not more: $err"
run 0 "$f" kv scan --from scan/ --to scan0 --keys-only -o lua
says '{ key = "scan/1" }'
run 0 "$f" kv scan --from nothing --to nothinh -o json
is '[]'
run 2 "$f" kv scan --to ''
errs '--to is empty'

case_of 'versioned keys'
run 0 "$f" kv cas c1 --expect 0 one
is 'version  1'
for v in 1 2 3 4 5 6 7 8 9; do run 0 "$f" kv cas c1 --expect $v "v$v" -o raw; is $((v + 1)); done
run 1 "$f" kv cas c1 --expect 3 late
is ''
errs 'conflict on "c1": its current version is 10, not 3'
run 0 "$f" kv get c1 --cas
is "$(printf 'version  10\nvalue    v9')"
run 0 "$f" kv get c1 --cas -o raw
is v9
run 0 "$f" kv get c1 --cas -o json
says '"version": 10'
run 1 "$f" kv get c1
run 1 "$f" kv delete c1 --cas --expect 9
errs 'its current version is 10, not 9'
run 0 "$f" kv delete c1 --cas --expect 10 -o raw
is 11
run 1 "$f" kv delete c1 --cas
errs 'there is no versioned key "c1"'
run 1 "$f" kv get c1 --cas
errs 'was deleted, at version 11'
run 1 "$f" kv cas c1 --expect 11 x
errs 'it is absent, deleted (last version: 11)'
run 0 "$f" kv cas c1 --expect 0 again -o raw
is 12
run 0 "$f" kv scan --cas --from c1 --to c2 -o json
is '[{"key":"c1","version":12,"value":"again"}]'
run 0 "$f" kv delete c1 --cas -o raw
is 13

case_of 'dump and load'
i=0
while [ $i -lt 3000 ]; do
    printf '{"key_text":"load/%05d","value_text":"row %d"}\n' $i $i
    i=$((i + 1))
done >"$tmp/rows.jsonl"
run 0 "$f" kv load "$tmp/rows.jsonl"
errs '3000 rows in'
run 0 "$f" kv dump --from load/ --to load0
[ "$(wc -l <"$tmp/out")" = 3000 ] || failed 'a dump of 3000 rows'
cp "$tmp/out" "$tmp/dump1"
run 0 "$f" kv cas v/1 --expect 0 a
run 0 "$f" kv cas v/1 --expect 1 b
run 0 "$f" kv dump
cp "$tmp/out" "$tmp/raw"
run 0 "$f" kv dump --cas --from v/ --to v0
is '{"key":"di8x","value":"Yg==","version":2}'
cp "$tmp/out" "$tmp/versioned"
run 0 "$f" namespace create copy
cat "$tmp/raw" "$tmp/versioned" | "$f" -n copy kv load - 2>/dev/null || failed 'load from a pipe'
run 0 "$f" -n copy kv dump
cmp -s "$tmp/raw" "$tmp/out" || failed 'a dump that was loaded dumps differently'
run 0 "$f" -n copy kv dump --cas
is '{"key":"di8x","value":"Yg==","version":1}'
run 1 "$f" -n copy kv load "$tmp/versioned"
errs 'the versioned key is there already, at version 1'
errs '1 versioned keys were there already'
printf '{"key_text":"a","value_text":"1"}\n\n{"key_text":"a","value_text":"2"}\n{"key":"a","value":""}\n' >"$tmp/bad.jsonl"
run 3 "$f" -n copy kv load "$tmp/bad.jsonl"
errs 'line 4 is no row of a dump: "key" is not base64'
errs 'kv load --skip 3'
run 0 "$f" -n copy kv get a
is 2
i=0
while [ $i -lt 2000 ]; do
    printf '{"key_text":"same/%d","value_text":"%d"}\n' $((i % 7)) $i
    i=$((i + 1))
done >"$tmp/same.jsonl"
run 0 "$f" -n copy kv load "$tmp/same.jsonl"
run 0 "$f" -n copy kv get same/0
is 1995
run 0 "$f" -n copy kv get same/6
is 1994
run 2 "$f" kv load "$tmp/nothing.jsonl"
errs 'No such file'

case_of 'Ctrl-C in a load, and going on'
run 0 "$f" namespace create cut
mkfifo "$tmp/fifo"
"$f" -n cut kv load - <"$tmp/fifo" 2>"$tmp/load.err" &
loader=$!
exec 9>"$tmp/fifo"
head -2250 "$tmp/rows.jsonl" >&9
for ((i = 0; i < 600; i++)); do
    [ "$("$f" -n cut kv dump | wc -l)" -ge 2000 ] && break
    sleep 0.05
done
kill -INT $loader
wait $loader
code=$?
exec 9>&-
[ $code = 130 ] || failed "an interrupted load exits with $code: $(cat "$tmp/load.err")"
done_line=$(sed -n 's/.*kv load --skip \([0-9]*\).*/\1/p' "$tmp/load.err")
[ "${done_line:-0}" = 2250 ] || failed "an interrupted load says how far it came: $(cat "$tmp/load.err")"
run 0 "$f" -n cut kv load --skip "$done_line" "$tmp/rows.jsonl"
errs '750 rows in'
run 0 "$f" -n cut kv dump
cmp -s "$tmp/dump1" "$tmp/out" || failed 'the load that went on has lost or changed rows'

case_of 'timestamps'
run 0 "$f" tso --count 3 -o raw
[ "$(sort -nu "$tmp/out" | wc -l)" = 3 ] || failed "three stamps: $out"
run 0 "$f" tso
says "$(date -u +%Y-%m-%dT)"
run 0 "$f" tso --count 20000 -o raw
[ "$(sort -nu "$tmp/out" | cmp - "$tmp/out" && wc -l <"$tmp/out")" = 20000 ] || failed '20000 stamps in order'

case_of 'namespaces'
run 0 "$f" namespace create orders
says orders
run 1 "$f" namespace create orders
errs 'orders'
run 3 "$f" namespace create 'Bad Name'
run 3 "$f" namespace create other --mode sideways
run 0 "$f" namespace list -o raw
says "$(printf '1\tdefault\tstrong')"
says "$(printf '\torders\tstrong')"
run 0 "$f" -n orders kv put k1 theirs
run 1 "$f" kv get k1
run 0 "$f" kv get k1 --namespace orders
is theirs
run 3 "$f" -n nowhere kv get k1
errs 'there is no namespace "nowhere"'
errs 'flotilla namespace create nowhere'

case_of 'status, log, admin'
run 0 "$f" status
says 'node_id'
run 0 "$f" status -o json
says '"console"'
run 0 "$f" log level
says info
run 0 "$f" log level debug
run 0 "$f" log level
says debug
run 0 "$f" log level info
run 1 "$f" log level loud
run 0 "$f" admin
says namespace.create
run 0 "$f" admin namespace.list
says orders
run 1 "$f" admin namespace.create name=orders
run 1 "$f" admin no.such.verb
errs no.such.verb
run 2 "$f" admin namespace.create orders
errs 'write name=value'

case_of 'policies'
run 0 "$f" policy list
says split
says '"max_ops":777'
says '"proposals_max":16'
run 0 "$f" policy list -o json
digest=$(grep -o '"digest": *"[0-9a-f]*"' "$tmp/out" | head -1)
[ -n "$digest" ] || failed "no digest in $out"
run 0 "$f" policy check lua/split.lua
echo 'return { api = 1, nonsense' >"$tmp/broken.lua"
run 1 "$f" policy check "$tmp/broken.lua"
errs 'broken.lua:'
run 3 "$f" policy check "$tmp/nothing.lua"
run 0 "$f" policy reload
cp "$tmp/lua/split.lua" "$tmp/split.lua"
echo 'return { api = 1, nonsense' >>"$tmp/lua/split.lua"
run 1 "$f" policy reload
errs 'split.lua:'
run 0 "$f" policy list -o json
says "$digest"
sed 's/max_ops = {/most_ops = {/; s/params.max_ops/params.most_ops/g' "$tmp/split.lua" >"$tmp/lua/split.lua"
run 1 "$f" policy reload
errs 'policy.params.split.max_ops: there is no such parameter; it has max_bytes, min_bytes, most_ops'
cp "$tmp/split.lua" "$tmp/lua/split.lua"
run 0 "$f" policy reload

case_of 'config'
run 0 "$f" config check config/dev.lua
says 'config/dev.lua: sound'
run 0 "$f" config check config/node.lua
printf 'return {\n  adress = "x",\n  log = { level = "loud" },\n}\n' >"$tmp/bad.lua"
run 2 "$f" config check "$tmp/bad.lua"
errs "bad.lua:2: adress: there is no such option; did you mean \"address\"?"
errs 'bad.lua:3: log.level: "loud" is not one of debug, info, warn, error'
run 2 "$f" start --config "$tmp/bad.lua"
errs 'bad.lua:2: adress'
run 0 "$f" config options -o raw
says 'limits.frame_max'

case_of 'no server'
run 4 "$f" -e 127.0.0.1:1 kv get k1
errs '127.0.0.1:1'
errs 'the endpoint comes from --endpoint'
FLOTILLA_ENDPOINT=127.0.0.1:1 run 4 "$f" status
errs 'the endpoint comes from $FLOTILLA_ENDPOINT'
run 0 "$f" --version
says 'flotilla 0.'

case_of 'completion'
# shellcheck source=../cli/flotilla.bash
. cli/flotilla.bash
COMP_WORDS=("$f" kv sc) COMP_CWORD=2
_flotilla "$f"
[ "${COMPREPLY[*]}" = scan ] || failed "kv sc completes to \"${COMPREPLY[*]}\""
COMP_WORDS=("$f" policy '') COMP_CWORD=2
_flotilla "$f"
[ "${COMPREPLY[*]}" = 'list reload check' ] || failed "policy completes to \"${COMPREPLY[*]}\""

case_of 'a load into a node that is busy: batches overtake one another, equal keys do not'
first_dir=$node_dir first_pid=$pid first_endpoint=$endpoint
node_new "$tmp/busy" 'region = { uncommitted_max = 600, busy_backoff_ms = 3 },' || die 'init of the busy node failed'
node_start || die 'the busy node did not start'
awk 'BEGIN { for (i = 0; i < 20000; i++)
    printf "{\"key_text\":\"%s\",\"value_text\":\"%d\"}\n", i % 50 == 7 ? "again/" (i % 3) : "busy/" i, i }' >"$tmp/busy.jsonl"
run 0 "$f" kv load "$tmp/busy.jsonl"
errs '20000 rows in'
run 0 "$f" kv scan --from again/ --to again0 -o raw
is "$(printf 'again/0\t19857\nagain/1\t19957\nagain/2\t19907')"
run 0 "$f" kv scan --from busy/ --to busy0 --keys-only --limit 0 -o raw
[ "$(wc -l <"$tmp/out")" = 19600 ] || failed "19600 keys: $(wc -l <"$tmp/out")"
node_stop || failed 'the busy node did not stop cleanly'
node_dir=$first_dir pid=$first_pid endpoint=$first_endpoint
first_pid=''
export FLOTILLA_ENDPOINT=$endpoint

case_of 'the node ends'
node_stop || failed 'the node did not stop cleanly'
run 4 "$f" kv get k1
errs 'refused'

finish
