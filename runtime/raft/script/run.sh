#!/usr/bin/env bash
# Runs scripts whose expected text was stripped and compares what comes out with the original, byte for byte.
#
#   run.sh RAFT_SCRIPT SOURCE_DIR          etcd's scripts: in $FLOTILLA_SHARED, else ../shared beside the source
#   run.sh RAFT_SCRIPT SOURCE_DIR PLACE    those of a folder of the source
#
# Exits with 77 where they are missing, with 1 if CI=true.
set -uo pipefail
program=$1 source=$2
place=${3:-}
set -- "${place:-${FLOTILLA_SHARED:-$source/../shared}/raft-scripts}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
for place in "$@"; do
    if [ ! -e "$place" ]; then
        if [ "${CI:-}" = true ]; then
            echo "raft scripts: $place is missing, and CI=true"
            exit 1
        fi
        echo "SKIP: no raft scripts at $place (set FLOTILLA_SHARED)"
        exit 77
    fi
    while IFS= read -r file; do
        # An answer begins behind ---- and ends at the first blank line.
        awk '!inside { print } /^----$/ { inside = 1 } inside && /^$/ { inside = 0; print }' "$file" >"$work/in.txt"
        "$program" --jitter 0 "$work/in.txt" >"$work/out.txt" 2>"$work/err.txt"
        if cmp -s "$file" "$work/out.txt"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAIL $file"
            head -5 "$work/err.txt"
            diff "$file" "$work/out.txt" | head -20
        fi
    done < <(find "$place" -name '*.txt' | sort)
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
