#!/usr/bin/env bash
# The deep tests, for as long as told: seeds, kills, power cuts, failing syncs, fuzzing.
#
#   scripts/test-deep.sh MINUTES [KIND]...      default: 60 minutes of every kind
#
# It goes round and round the kinds below until the time is over (each of its commands repeats a round by hand), prints every count and appends them to
# docs/deep-runs.md, so that totals grow from run to run. A round that failed ends the run with 1 and says how to repeat it.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-60}
shift || true
kinds=" $* " # with none named: all
case $minutes in '' | *[!0-9]*)
    echo "usage: scripts/test-deep.sh MINUTES [KIND]..." >&2
    exit 2
    ;;
esac
ends=$((SECONDS + minutes * 60))
jobs=${JOBS:-$(nproc)}
logs=build/deep
mkdir -p $logs
rm -f $logs/*.all.log
failed=0
declare -A rounds=() skipped=() took=()

for preset in release fuzz; do
    echo "deep: building preset $preset"
    { cmake --preset $preset && cmake --build --preset $preset -j"$jobs"; } >"$logs/build-$preset.log" 2>&1 || {
        tail -30 "$logs/build-$preset.log"
        exit 1
    }
done

# one KIND ROUNDS COMMAND...: runs the command, which does ROUNDS of KIND; 77 means that it cannot run here.
one() {
    local kind=$1 count=$2 t0=$SECONDS code
    shift 2
    [ $SECONDS -lt $ends ] || return 0
    [[ $kinds =~ ^\ *$ || $kinds == *" $kind "* ]] || return 0
    [ -z "${skipped[$kind]:-}" ] || return 0
    "$@" >"$logs/$kind.log" 2>&1
    code=$?
    took[$kind]=$((${took[$kind]:-0} + SECONDS - t0))
    case $code in
    0)
        rounds[$kind]=$((${rounds[$kind]:-0} + count))
        cat "$logs/$kind.log" >>"$logs/$kind.all.log"
        ;;
    77)
        skipped[$kind]=$(grep -m1 -iE '^skip' "$logs/$kind.log" || echo "skipped")
        echo "deep: $kind: ${skipped[$kind]}"
        ;;
    *)
        failed=$((failed + 1))
        echo "deep: $kind FAILED with $code; again: $*"
        tail -30 "$logs/$kind.log"
        cp "$logs/$kind.log" "$logs/$kind.failed.$failed.log"
        ;;
    esac
    printf 'deep: %-14s %6s rounds so far, %4d s left\n' "$kind" "${rounds[$kind]:-0}" $((ends > SECONDS ? ends - SECONDS : 0))
}

# sums KIND PATTERN: what all rounds of it have counted, "name N" pairs on the lines that begin so, each name summed up.
sums() {
    [ -f "$logs/$1.all.log" ] || return 0
    awk -v pattern="^($2)" '
        $0 ~ pattern {
            gsub(/[,;:]/, " ")
            for (i = 2; i <= NF; i++)
                if ($i ~ /^[0-9]+$/ && $(i - 1) !~ /^[0-9]+$/) {
                    if (!($(i - 1) in sum)) order[++n] = $(i - 1)
                    sum[$(i - 1)] += $i
                }
        }
        END { for (i = 1; i <= n; i++) if (sum[order[i]]) printf "%s%s %d", (i > 1 ? " " : ""), order[i], sum[order[i]] }
    ' "$logs/$1.all.log"
}

seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
echo "deep: $minutes minutes, first seed $seed"
while [ $SECONDS -lt $ends ] && [ $failed -eq 0 ]; do
    one raft-seeds 200 build/release/bin/raft_sim --seed "$seed" --seeds 200
    one node-seeds 100 build/release/bin/node_node_sim_test --seeds "$seed" 100
    one sim-seeds 20 build/release/bin/flotilla sim --seed "$seed" --seeds 20 --jobs "$jobs"
    one sim-compilers 3 scripts/sim-compilers.sh "$seed" 3
    one kill-rounds 20 build/release/bin/kill_loop 20 8 "$seed"
    one power-cuts 5 scripts/powercut.sh 5 "$seed"
    one fsyncgate 1 scripts/fsyncgate.sh
    one flush-cuts 500 env HUNT_CUTS=500 build/release/bin/storage_engine_rocks_test no_cut
    one fuzz-seconds 10 env FUZZ_SEED="$seed" scripts/fuzz.sh 10
    seed=$((seed + 1000))
done

{
    [ -s docs/deep-runs.md ] || printf '# Deep runs\n\nAppended by scripts/test-deep.sh; each line is one run.\n\n| date | commit | minutes | counts | failures |\n|---|---|---|---|---|\n'
    counts=''
    for kind in raft-seeds node-seeds sim-seeds sim-compilers kill-rounds power-cuts fsyncgate flush-cuts fuzz-seconds; do
        detail=''
        case $kind in
        raft-seeds) detail=$(sums $kind 'events |crashes |elections ') ;;
        sim-seeds) detail=$(sums $kind 'total|  ops|  nodes|  faults') ;;
        esac
        [ -z "${rounds[$kind]:-}${skipped[$kind]:-}" ] ||
            counts+="$kind ${rounds[$kind]:-0}${skipped[$kind]:+ (skipped)}${detail:+ ($detail)}, "
    done
    printf '| %s | %s | %s | %s | %s |\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" $((SECONDS / 60)) "${counts%, }" $failed
} >>docs/deep-runs.md
tail -1 docs/deep-runs.md
[ $failed -eq 0 ]
