#!/usr/bin/env bash
# How the tests of consensus prove themselves: each known bug of runtime/raft/mutations is compiled in, and the fast
# oracles run against it. Prints who noticed; exits with 1 if a public one survives or fewer than 90 % of the others die.
#
#   scripts/test-mutations.sh [NAME]...      default: all; SIM_SECONDS=20 bounds the simulator for each
set -uo pipefail
cd "$(dirname "$0")/.."
build=build/release
seconds=${SIM_SECONDS:-20}
work=build/mutations
shared=${FLOTILLA_SHARED:-../shared}
cmake --preset release >/dev/null && cmake --build --preset release --target raft_script raft_sim layer_test >/dev/null || exit 1
mkdir -p $work/common/tests
faces=(-I$build/faces/base -I$build/faces/raft -I$build/faces/sim_group)
flags=(-std=gnu11 -O1 -w -D_GNU_SOURCE)
base=$build/runtime/base/liblayer_base.a
harness=$build/runtime/base/liblayer_test.a
libs=(-lxxhash -ljansson -lsodium)

names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd runtime/raft/mutations && ls ./*.txt | sed 's,^\./,,; s/\.txt$//')

# Drivers and tests are compiled once: a mutation changes the core alone.
for file in runtime/raft/*_test.c; do
    gcc "${flags[@]}" "${faces[@]}" -Iruntime/raft -c "$file" -o "$work/common/tests/$(basename "$file" .c).o" || exit 1
done
for file in runtime/raft/script/*.c sim/group/*.c; do
    case $file in *_test.c) continue ;; esac
    out=$work/common/$(echo "$file" | tr / _).o
    gcc "${flags[@]}" "${faces[@]}" -Iruntime/raft -c "$file" -o "$out" || exit 1
done

# try NAME: prints a row of the table.
try() {
    local name=$1 dir=$work/$1 code why cases=- scripts=- sim=- died=no
    rm -rf "$dir"
    luajit tools/mutate.lua "runtime/raft/mutations/$name.txt" runtime/raft "$dir" || return 2
    why=$(sed -n '1s/^# //p' "runtime/raft/mutations/$name.txt")
    local core=()
    for file in "$dir"/*.c; do
        case $file in *_test.c) continue ;; esac
        gcc "${flags[@]}" "${faces[@]}" -I"$dir" -c "$file" -o "${file%.c}.o" || return 2
        core+=("${file%.c}.o")
    done
    gcc -o "$dir/raft_script" $work/common/runtime_raft_script_*.o "${core[@]}" $base "${libs[@]}" || return 2
    gcc -o "$dir/raft_sim" $work/common/sim_group_*.o "${core[@]}" $base "${libs[@]}" || return 2
    # The tests beside the files: how many cases failed; one that dies or hangs counts as one.
    local failed=0 n
    for test in $work/common/tests/*.o; do
        gcc -o "$dir/cases" "$test" "${core[@]}" "$harness" $base -lcmocka "${libs[@]}" || return 2
        timeout 20 "$dir/cases" >"$dir/cases.log" 2>&1 && continue
        n=$(sort -u "$dir/cases.log" | grep -c '^\[  FAILED  \] [a-z]')
        failed=$((failed + (n > 0 ? n : 1)))
    done
    [ $failed -eq 0 ] || cases=$failed
    if [ -d "$shared/raft-scripts" ]; then
        scripts=$(find "$shared/raft-scripts" runtime/raft/golden -name '*.txt' 2>/dev/null |
            while read -r file; do timeout 10 "$dir/raft_script" --jitter 0 --check "$file" >/dev/null 2>&1 || echo x; done | wc -l)
    fi
    timeout "$seconds" "$dir/raft_sim" --seed 1 --seeds 100000 --events 20000 --first >"$dir/sim.log" 2>&1
    code=$?
    if [ $code -eq 1 ] || [ $code -ge 128 ]; then # failed, or died
        sim=$(grep -m1 -oE '\(([ID][0-9]+[^)]*)\)|Assertion|broke|does not open' "$dir/sim.log" | tr -d '()' | head -1)
        sim=${sim:-crash}
    fi
    if [ "$scripts" != - ] && [ "$scripts" -gt 0 ]; then died=yes; fi
    if [ "$sim" != - ] || [ "$cases" != - ]; then died=yes; fi
    [ "$scripts" != 0 ] || scripts=-
    printf '| %s | %s | %s | %s | %s | %s |\n' "$name" "$why" "$cases" "$scripts" "$sim" "$died"
    rm -rf "$dir"
}

export -f try
printf '| mutation | what it breaks | cases | scripts | simulator | dies |\n|---|---|---|---|---|---|\n'
rows=$work/rows.md
: >$rows
for name in "${names[@]}"; do try "$name" | tee -a $rows; done
public=$(grep -c '(public).*| no |$' $rows)
all=$(grep -vc '(public)' $rows)
killed=$(grep -v '(public)' $rows | grep -c '| yes |$')
echo
echo "mutations: $(grep -c '| yes |$' $rows) of $(wc -l <$rows) die; public survivors: $public; of our own $killed of $all"
[ "$public" -eq 0 ] && [ $((killed * 10)) -ge $((all * 9)) ]
