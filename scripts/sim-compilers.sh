#!/usr/bin/env bash
# The same seeds under gcc (release) and clang (ASan, UBSan): a run is a function of its seed, so their hashes are equal.
#
#   scripts/sim-compilers.sh [FIRST] [COUNT]      default: seeds 1 to 3, two virtual minutes each
set -euo pipefail
cd "$(dirname "$0")/.."
first=${1:-1}
count=${2:-3}
for preset in release clang; do
    cmake --preset $preset >/dev/null
    cmake --build --preset $preset -j"${JOBS:-$(nproc)}" --target flotilla >/dev/null
done
# Real time is left out: what remains is what the seed decides.
hashes() {
    "build/$1/bin/flotilla" sim --seed "$first" --seeds "$count" --minutes 2 --jobs "${JOBS:-2}" |
        grep '^seed ' | sed 's/ ([0-9]*x)//'
}
release=$(hashes release)
clang=$(hashes clang)
echo "$release"
[ "$release" = "$clang" ] || {
    echo "under clang, with sanitizers:"
    echo "$clang"
    exit 1
}
