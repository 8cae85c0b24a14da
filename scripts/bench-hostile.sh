#!/usr/bin/env bash
# What hostile scripts cost their neighbours: GETs at 30 % of the peak rate, open loop, without and with scripts that
# never end in four consoles; five pairs, interleaved. Prints each p99 and the median of the ratios (goal: 1.25).
# RATE=20000 measures there instead: an open loop of single requests costs the server more than the pipelined peak.
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need_program
loadgen=$(dirname "$flotilla")/loadgen
pairs=${PAIRS:-5}
each=${SECONDS_EACH:-5}
dir=$(mktemp -d)
hostile=()
hush() {
    for id in "${hostile[@]}"; do kill "$id" 2>/dev/null; done
    for id in "${hostile[@]}"; do wait "$id" 2>/dev/null; done
    hostile=()
}
leave() {
    hush
    node_kill
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM

node_new "$dir" && node_start || die "the node did not start"
load() { "$loadgen" --endpoint "$endpoint" --op get --callers 64 --connections 4 --value 128 --keys 100000 --brief "$@"; }
peak=$(load --seconds "$each" | awk '{ printf "%d", $1 }')
rate=${RATE:-$((peak * 30 / 100))}
echo "peak $peak GETs per second; measured at $rate"
load --seconds 1 --rate "$rate" >/dev/null

# Consoles in which scripts loop, match and grow, one after the other, until they are told to stop.
torment() {
    local script
    while :; do
        for script in 'while true do end' 'for i = 1, 1e9 do local t = { i } end' \
            'return (("a"):rep(20000)):find((".-"):rep(20) .. "b")' 'local s = "" for i = 1, 1e7 do s = s .. i end'; do
            nice -n 19 "$flotilla" console --eval "$script" >/dev/null 2>&1 # its start is not what is measured
        done
    done
}

printf '%5s %12s %12s %8s\n' pair 'p99 quiet' 'p99 hostile' ratio
for ((pair = 1; pair <= pairs; pair++)); do
    quiet=$(load --no-fill --seconds "$each" --rate "$rate" | awk '{ print $3 }')
    for i in 1 2 3 4; do
        torment &
        hostile+=($!)
    done
    loud=$(load --no-fill --seconds "$each" --rate "$rate" | awk '{ print $3 }')
    hush
    awk -v p=$pair -v a="$quiet" -v b="$loud" 'BEGIN { printf "%5d %12s %12s %8.3f\n", p, a, b, b / a }' >>"$dir/pairs.txt"
    tail -1 "$dir/pairs.txt"
done
median=$(awk '{ print $4 }' "$dir/pairs.txt" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
echo "median of the ratios of p99: $median (goal: at most 1.25)"
delay=$("$flotilla" console -o json --eval 'metrics("flotilla_loop_delay")' | head -c 600)
echo "loop delay: $delay"
node_stop
