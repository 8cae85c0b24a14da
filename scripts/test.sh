#!/usr/bin/env bash
# Every test lane, with its time against its budget. Exits with 1 if anything failed.
#
#   scripts/test.sh [LANE]...      default: all
#
# Lanes: dev (unit, spec, tidy under ASan and UBSan), release (real processes), tsan (threads), fuzz (the corpus under
# libFuzzer's limits). The last line counts all tests; a skipped one says why above. Seeds are fixed, and what is run is
# bounded by counts: a commit has one verdict (docs/decisions/0003). FUZZ_SEED=random walks elsewhere.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
export FUZZ_WALK=${FUZZ_WALK:-5} # five times the mutants of make check
lanes=("$@")
[ ${#lanes[@]} -gt 0 ] || lanes=(dev release tsan fuzz)

passed=0 failed=0 skipped=0
report=()
began=$SECONDS

# One number of the testsuite line of ctest's JUnit file.
junit() {
    grep -m1 -A8 '<testsuite' "$1" | tr '\n\t' '  ' | sed -n "s/.* $2=\"\([0-9]*\)\".*/\1/p"
}

# lane NAME BUDGET_SECONDS PRESET LABELS PARALLEL: builds the preset and runs the tests with those labels.
lane() {
    local name=$1 budget=$2 preset=$3 labels=$4 parallel=$5 t0=$SECONDS
    local dir=$PWD/build/$preset note='' built tests fails skips
    echo "== lane $name: preset $preset, labels $labels, budget $budget s"
    mkdir -p "$dir"
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" -j"$jobs"; } >"$dir/build.log" 2>&1; then
        tail -40 "$dir/build.log"
        failed=$((failed + 1))
        report+=("$(printf '%-8s %5d s of %4d s   THE BUILD FAILED' "$name" $((SECONDS - t0)) "$budget")")
        return
    fi
    built=$((SECONDS - t0))
    rm -f "$dir/$name.xml"
    (cd "$dir" && ctest -L "$labels" --no-tests=error --output-on-failure --output-junit "$dir/$name.xml" -j"$parallel")
    grep -hE '^(SKIP|skip)' "$dir/Testing/Temporary/LastTest.log" 2>/dev/null | sort -u
    if [ -f "$dir/$name.xml" ]; then
        tests=$(junit "$dir/$name.xml" tests)
        fails=$(junit "$dir/$name.xml" failures)
        skips=$(junit "$dir/$name.xml" skipped)
        passed=$((passed + tests - fails - skips))
        failed=$((failed + fails))
        skipped=$((skipped + skips))
    else
        failed=$((failed + 1))
        note='   NO TEST RAN'
    fi
    [ $((SECONDS - t0)) -le "$budget" ] || note="$note   over budget"
    report+=("$(printf '%-8s %5d s of %4d s   build %d s%s' "$name" $((SECONDS - t0)) "$budget" "$built" "$note")")
}

for name in "${lanes[@]}"; do
    case $name in
    dev) lane dev 420 dev 'unit|spec|tidy' "$jobs" ;;
    release) lane release 420 release 'node' 1 ;;
    tsan) lane tsan 120 tsan 'threads' 1 ;;
    fuzz) lane fuzz 240 fuzz 'fuzz' "$jobs" ;;
    *)
        echo "test: there is no lane \"$name\" (dev, release, tsan, fuzz)" >&2
        exit 2
        ;;
    esac
done

printf '\nlane       took, of its budget\n'
printf '%s\n' "${report[@]}"
printf 'total    %5d s of 1200 s\n\n' $((SECONDS - began))
echo "flotilla: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
