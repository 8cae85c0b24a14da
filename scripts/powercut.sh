#!/usr/bin/env bash
# Power cuts for real: a store (RocksDB and our log) on a loop-mounted ext4 that is shut down without flushing, under
# concurrent writers whose acknowledgements lie on another disk. Nothing acknowledged may be lost, in any round so far.
#
#   scripts/powercut.sh [ROUNDS [SEED]]     default: 2, 1; the seed draws the moments. POWER_STORE=path of the program,
#                                           TMPDIR: where the image lies
#
# Every third cut hits a store that has just begun to recover from the one before. Exits with 77 where it may not mount.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
rounds=${1:-2}
RANDOM=${2:-1}
for preset in release dev; do
    program=${POWER_STORE:-$PWD/build/$preset/bin/power_store}
    [ ! -x "$program" ] || break
done
[ -x "$program" ] || { echo "powercut: no program at $program: make build first" >&2; exit 2; }

skip() { echo "SKIP: powercut: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a file system of its own"
command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is missing (package e2fsprogs)"

dir=$(mktemp -d "${TMPDIR:-/tmp}/flotilla-powercut-XXXXXX")
mount=$dir/mount
image=$dir/image
writer=''
leave() {
    [ -z "$writer" ] || { kill -9 "$writer"; wait "$writer"; } 2>/dev/null
    ! mountpoint -q "$mount" || umount "$mount" || umount -l "$mount"
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM

mkdir "$mount"
{ truncate -s 400M "$image" && mkfs.ext4 -q -F "$image"; } || skip "could not make an ext4 image"
# commit=300: the journal is written when somebody syncs, not because time has passed
power_on() { mount -o loop,commit=300 "$image" "$mount"; }
power_on 2>"$dir/why" || skip "could not mount a loop device: $(head -1 "$dir/why")"
"$program" cut "$mount" 2>"$dir/why" || skip "$(head -1 "$dir/why")"
{ umount "$mount" && power_on; } || exit 2

# cut ROUND SECONDS: writes, then pulls the plug after so long, then power comes back.
cut() {
    "$program" write "$mount/store" "$1" >"$dir/acks.$1" 2>"$dir/writer.err" &
    writer=$!
    sleep "$2"
    "$program" cut "$mount" || exit 2
    kill -9 "$writer" 2>/dev/null
    wait "$writer" 2>/dev/null
    writer=''
    { umount "$mount" && power_on; } || { echo "powercut: the file system does not come back"; exit 2; }
}

"$program" init "$mount/store" || exit 2
acks=()
for ((round = 0; round < rounds; round++)); do
    least=400
    [ $((round % 3)) -ne 2 ] || least=20
    cut $round "$(printf '0.%03d' $((least + RANDOM % 500)))"
    acks+=("$dir/acks.$round")
    result=$("$program" check "$mount/store" "${acks[@]}" 2>"$dir/why") || {
        echo "powercut: round $round: $result"
        cat "$dir/why" "$dir/writer.err"
        exit 1
    }
    echo "powercut: round $round: $(($(stat -c %s "$dir/acks.$round") / 16)) acknowledged in it; all so far: $result"
    # a check leaves what it replayed; every other round begins on a clean cut of that too
    [ $((round % 2)) -eq 0 ] || { "$program" cut "$mount" && umount "$mount" && power_on; } || exit 2
done
total=0
for file in "${acks[@]}"; do total=$((total + $(stat -c %s "$file") / 16)); done
[ $total -gt 0 ] || { echo "powercut: void: nothing was acknowledged in $rounds rounds"; exit 1; }
echo "powercut: $rounds power cuts, $total acknowledged operations, none lost"
