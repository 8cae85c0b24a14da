#!/usr/bin/env bash
# How the tests of a layer prove themselves: each known bug of runtime/LAYER/mutations is compiled in, under ASan and
# UBSan, and the tests beside the files run against it. Prints a row for each, with the tests that noticed; exits with 1
# if a bug survives.
#
#   scripts/layer-mutations.sh LAYER [NAME]...      default: all
set -uo pipefail
cd "$(dirname "$0")/.."
layer=${1:?usage: scripts/layer-mutations.sh LAYER [NAME]...}
shift
source=runtime/$layer
build=build/dev
work=build/mutations/$layer
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd "$source/mutations" && ls ./*.txt | sed 's,^\./,,; s/\.txt$//')
cmake --preset dev >/dev/null && cmake --build --preset dev --target layer_uv layer_sim_world layer_test >/dev/null || exit 1

faces=(-I"$build/faces/$layer" -I$build/faces/base -I$build/faces/env -I$build/faces/sim_world -I$build/faces/uv)
flags=(-std=gnu11 -O1 -g -w -D_GNU_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=all)
libs=($build/sim/world/liblayer_sim_world.a $build/runtime/uv/liblayer_uv.a $build/runtime/env/liblayer_env.a
    $build/runtime/base/liblayer_test.a $build/runtime/base/liblayer_base.a -lcmocka -lxxhash -ljansson -lsodium -luv -lpthread)
rm -rf "$work"
mkdir -p "$work/tests"
for file in "$source"/*_test.c; do
    gcc "${flags[@]}" "${faces[@]}" -I"$source" -c "$file" -o "$work/tests/$(basename "$file" .c).o" || exit 1
done
# What a mutation leaves alone is compiled once; a file that only differs by where it lies would be compiled for nothing.
for file in "$source"/*.c; do
    case $file in *_test.c) continue ;; esac
    gcc "${flags[@]}" "${faces[@]}" -I"$source" -c "$file" -o "$work/$(basename "$file" .c).o" || exit 1
done

# try NAME: prints a row of the table; 1 if nobody noticed.
try() {
    local name=$1 dir=$work/$1 why changed core=() noticed='' first=''
    luajit tools/mutate.lua "$source/mutations/$name.txt" "$source" "$dir" || return 2
    why=$(sed -n '1s/^# //p' "$source/mutations/$name.txt")
    changed=$(sed -n 's/^file: \(.*\)\.c$/\1/p' "$source/mutations/$name.txt")
    gcc "${flags[@]}" "${faces[@]}" -I"$dir" -c "$dir/$changed.c" -o "$dir/$changed.o" || return 2
    for object in "$work"/*.o; do
        [ "$(basename "$object")" = "$changed.o" ] || core+=("$object")
    done
    for test in "$work"/tests/*.o; do
        gcc "${flags[@]}" -o "$dir/cases" "$test" "${core[@]}" "$dir/$changed.o" "${libs[@]}" || return 2
        # In a shell of its own, which tells the log, and not us, that it died.
        timeout 60 sh -c '"$0" || exit 1' "$dir/cases" >"$dir/cases.log" 2>&1 && continue
        first=$(grep -m1 -oE '^\[  FAILED  \] [a-z][a-z0-9_]+' "$dir/cases.log" | awk '{ print $4 }')
        # One that died said last what it ran.
        [ -n "$first" ] || first=$(grep '^\[ RUN' "$dir/cases.log" | tail -1 | awk '{ print $4 }')
        noticed="$noticed${noticed:+, }$first"
    done
    printf '| %s | %s | %s |\n' "$name" "$why" "${noticed:-**nobody**}"
    rm -rf "$dir"
    [ -n "$noticed" ]
}

printf '| mutation | what it breaks | who notices, one of each program |\n|---|---|---|\n'
died=0
for name in "${names[@]}"; do try "$name" && died=$((died + 1)); done
echo
echo "mutations of $layer: $died of ${#names[@]} die"
[ $died -eq ${#names[@]} ]
