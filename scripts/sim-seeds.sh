#!/usr/bin/env bash
# Whole nodes in virtual time: replays the runs that once failed (sim/seeds.txt), then COUNT seeds from FIRST.
#
#   scripts/sim-seeds.sh [FIRST] [COUNT]      default: seeds 1 to 10, the same at every run (decision 0003)
set -uo pipefail
cd "$(dirname "$0")/.."
flotilla=${FLOTILLA:-build/release/bin/flotilla}
first=${1:-1}
count=${2:-10}
failed=0
while IFS= read -r line; do
    options=${line%%#*}
    [ -n "${options// /}" ] || continue
    # shellcheck disable=SC2086 # options are words
    "$flotilla" sim $options --no-shrink || {
        echo "again: flotilla sim $options"
        failed=1
    }
done <sim/seeds.txt
"$flotilla" sim --seed "$first" --seeds "$count" --jobs "${JOBS:-2}" || failed=1
exit $failed
