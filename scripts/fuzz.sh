#!/usr/bin/env bash
# Hunts: replays the corpus of every fuzz target, then lets libFuzzer look for more, each time elsewhere; one line a
# target. Exits with 1 on a finding, prints it, and keeps its input in build/fuzz/findings; fix it, then add the input
# to fuzz/corpus/<target>.
#
#   scripts/fuzz.sh [SECONDS] [TARGET]...     default: 10 a target, all targets; 0: the corpus alone, as make test does
#
# FUZZ_SEED=N: libFuzzer's seed, instead of one that is drawn (a hint, no more: it also goes where addresses lead it).
# Needs: cmake --preset fuzz && cmake --build --preset fuzz (FUZZ_BUILD: another build directory).
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
shift || true
build=${FUZZ_BUILD:-$PWD/build/fuzz}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for program in "$build"/bin/fuzz_*; do
        [ -x "$program" ] && targets+=("${program##*/fuzz_}")
    done
fi
if [ ${#targets[@]} -eq 0 ]; then
    echo "fuzz: no targets in $build/bin; build them: cmake --preset fuzz && cmake --build --preset fuzz" >&2
    exit 1
fi
mkdir -p "$build/findings"
seed=${FUZZ_SEED:-random}
[ "$seed" != random ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
seed=$((seed % 2147483647 + 1)) # libFuzzer draws for 0
[ "$seconds" -eq 0 ] || echo "fuzz: seed $seed"

# What every run shares: nothing may take more than a gigabyte, 64 MiB at once, or 10 s for one input.
limits=(-rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 -max_len=8192)
failed=0
for target in "${targets[@]}"; do
    program=$build/bin/fuzz_$target corpus=fuzz/corpus/$target found=$build/corpus/$target
    log=$build/findings/$target.log
    seeds=$(find "$corpus" -type f 2>/dev/null | wc -l)
    if [ ! -x "$program" ] || [ "$seeds" -eq 0 ]; then
        printf 'fuzz: %-10s no program or no corpus (%s, %s)\n' "$target" "$program" "$corpus"
        failed=$((failed + 1))
        continue
    fi
    mkdir -p "$found"
    prefix=(-artifact_prefix="$build/findings/$target-")
    [ ! -f "fuzz/$target.dict" ] || prefix+=(-dict="fuzz/$target.dict")
    verdict=ok
    # The second folder is only read: what libFuzzer finds goes to the first, in the build tree.
    if ! "$program" "${limits[@]}" "${prefix[@]}" -runs=0 "$corpus" >"$log" 2>&1; then
        verdict='FINDING in the corpus'
    elif [ "$seconds" -gt 0 ] && ! "$program" "${limits[@]}" "${prefix[@]}" -max_total_time="$seconds" \
        -seed="$seed" -print_final_stats=1 "$found" "$corpus" >"$log" 2>&1; then
        verdict='FINDING'
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(grep -oE 'cov: [0-9]+' "$log" | tail -1)
    printf 'fuzz: %-10s %4d seeds, %9s runs in %d s, %s: %s\n' "$target" "$seeds" "${runs:-0}" "$seconds" \
        "${cover:-cov: 0}" "$verdict"
    if [ "$verdict" != ok ]; then
        failed=$((failed + 1))
        grep -vE '^#|^INFO|^stat::|NEW_FUNC' "$log" | head -40
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
        [ -f "$input" ] || continue
        echo "fuzz: again: $program $input"
        [ "$(stat -c %s "$input")" -gt 8192 ] || echo "fuzz: its input: base64 -d <<<'$(base64 -w0 "$input")'"
    fi
done
[ $failed -eq 0 ]
