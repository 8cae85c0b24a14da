#!/usr/bin/env bash
# history_check from outside: what it prints, and its exit codes.
#
#   cli_test.sh HISTORY_CHECK
set -uo pipefail
program=${1:?usage: cli_test.sh HISTORY_CHECK}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failures=0

# expect CODE TEXT ARGUMENTS...: the exit code, and a text that the output contains.
expect() {
    local code=$1 text=$2 out rc
    shift 2
    out=$("$program" "$@" 2>&1)
    rc=$?
    if [ $rc -ne "$code" ] || [[ $out != *"$text"* ]]; then
        echo "history_check $*: exit code $rc, not $code, or without \"$text\":"
        printf '%s\n' "$out"
        failures=$((failures + 1))
    fi
}

op() { printf '{"client":%s,"op":"%s","key":"k",%s"call":%s,"return":%s,"outcome":"ok"%s}\n' "$@"; }
{ op 1 put '"value":"a",' 1 2 ''; op 2 put '"value":"b",' 3 4 ''; } >"$dir/front"
op 3 get '' 5 6 ',"saw":"b"' >"$dir/new"
op 3 get '' 5 6 ',"saw":"a"' >"$dir/stale"
cat "$dir/front" "$dir/new" >"$dir/good"
cat "$dir/front" "$dir/stale" >"$dir/bad"
# Swaps that want each other's values, with nobody to begin: no budget of one decides that.
for i in 1 2 3 4 5 6; do
    op $i swap "\"wanted\":\"v$i\",\"value\":\"v$((i % 6 + 1))\"," 10 90 ''
    op $i put "\"value\":\"v$i\"," 10 90 ''
done >"$dir/hard"
op 9 swap '"wanted":"v1","value":"v9",' 91 92 '' >>"$dir/hard"
op 9 swap '"wanted":"v1","value":"v9",' 93 94 '' >>"$dir/hard"
: >"$dir/empty"
echo '{"client":1}' >"$dir/no"

expect 0 "usage: history_check" --help
expect 2 "usage: history_check"
expect 2 "usage: history_check" --frobnicate "$dir/good"
expect 2 '"x" is no number' --min-ops x "$dir/good"
expect 2 "could not read" "$dir/missing"
expect 2 'line 1: "op" is missing' "$dir/no"
expect 0 "good: linearizable, 1 registers, 3 operations (3 answered, 0 undetermined, 0 failed)" "$dir/good"
expect 0 'linearizable      raw        "k"  3 operations' --min-ops 3 "$dir/good"
expect 3 "good: void: linearizable" --min-ops 4 "$dir/good"
expect 3 "empty: void: linearizable, 0 registers" "$dir/empty"
expect 1 'NOT linearizable  raw        "k"  3 operations' "$dir/bad"
expect 1 "contradict each other" --quiet "$dir/bad"
expect 1 "NOT linearizable" --min-ops 99 "$dir/bad"
expect 1 "NOT linearizable" "$dir/good" "$dir/bad" "$dir/empty"
expect 1 "all files: NOT linearizable, 1 registers, 3 operations" --merge "$dir/front" "$dir/stale"
expect 0 "all files: linearizable" --merge "$dir/front" "$dir/new"
expect 4 "undecided" --budget 1 "$dir/hard"
expect 1 "NOT linearizable" "$dir/hard"

out=$("$program" --explain 0 "$dir/bad")
[[ $out != *contradict* ]] || { echo "--explain 0 explains"; failures=$((failures + 1)); }
out=$("$program" --quiet "$dir/good")
[ "$(wc -l <<<"$out")" -eq 1 ] || { echo "--quiet prints what is right"; failures=$((failures + 1)); }
out=$("$program" - <"$dir/good" | tail -1)
[[ $out == "-: linearizable"* ]] || { echo "- does not read the standard input"; failures=$((failures + 1)); }
[ $failures -eq 0 ] && echo "history_check: as it says"
