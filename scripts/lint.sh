#!/usr/bin/env bash
# clang-tidy over every C file of the dev build (.clang-tidy says which checks); exits with 1 on a finding.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/dev
[ -f $build/compile_commands.json ] || cmake --preset dev >/dev/null
mapfile -t files < <(git ls-files 'runtime/**/*.c' 'sim/**/*.c' 'client/*.c' 'cli/*.c' | grep -v _test.c)
echo "lint: ${#files[@]} files"
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p $build --quiet --extra-arg=-Wno-unknown-warning-option --warnings-as-errors='*' 2>/dev/null
echo "lint: nothing to say"
