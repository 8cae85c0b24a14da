#!/usr/bin/env bash
# Failing syncs for real: a store must stop at the first one, leave its panic mark, refuse to start until it is told to,
# and have lost nothing that it acknowledged.
#
#   scripts/fsyncgate.sh       POWER_STORE, SYNC_FAILS: paths of the program and of the shim
#
#   log     the disk under the file system runs out of room while a log segment is filled: write-back fails, the kernel
#           forgets the pages, and the next sync would succeed (a sparse ext4 image on a small tmpfs)
#   flush   the same at RocksDB's flush
#   sync    the sync of a log batch answers EIO once (a shim by LD_PRELOAD)
#
# Exits with 77 where nothing can be tried; without root only the shim's part runs, and that is said.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
for preset in release dev; do
    program=${POWER_STORE:-$PWD/build/$preset/bin/power_store}
    shim=${SYNC_FAILS:-$PWD/build/$preset/lib/libsync_fails.so}
    [ ! -x "$program" ] || break
done
[ -x "$program" ] || { echo "fsyncgate: no program at $program: make build first" >&2; exit 2; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/flotilla-fsyncgate-XXXXXX")
ram=$dir/ram mount=$dir/mount image=$dir/ram/image
writer=''
loop=''
power_off() {
    ! mountpoint -q "$mount" || umount "$mount" || umount -l "$mount"
    [ -z "$loop" ] || losetup -d "$loop"
    loop=''
}
unmount_all() {
    power_off
    ! mountpoint -q "$ram" || umount "$ram" || umount -l "$ram"
}
leave() {
    [ -z "$writer" ] || { kill -9 "$writer"; wait "$writer"; } 2>/dev/null
    unmount_all 2>/dev/null
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM
mkdir "$mount" "$ram"
fail() {
    echo "fsyncgate: $1"
    cat "$dir/writer.err" 2>/dev/null
    exit 1
}

# until_latched NAME: the writer ends by itself with 3 (latched) within a minute.
until_latched() {
    local i code
    for ((i = 0; i < 600; i++)); do
        kill -0 "$writer" 2>/dev/null || break
        sleep 0.1
    done
    [ $i -lt 600 ] || fail "$1: the store goes on as if nothing had happened"
    wait "$writer"
    code=$?
    writer=''
    [ $code -eq 3 ] || fail "$1: the writer ended with $code, not latched"
}

# refused_then_sound NAME STORE: refuses to start; told to, it starts with all that was acknowledged, or says that the
# store is damaged.
refused_then_sound() {
    local result code
    [ -e "$2/PANIC" ] || fail "$1: no panic mark was left"
    "$program" check "$2" "$dir/acks" >/dev/null 2>"$dir/why"
    code=$?
    [ $code -eq 4 ] || fail "$1: it starts over its panic mark ($code): $(cat "$dir/why")"
    if ! result=$(ACCEPT_PANIC=1 "$program" check "$2" "$dir/acks" 2>"$dir/why"); then
        # The disk may have dropped pages of the engine's own files: then the truth is that the store is damaged, and
        # that must be said, today and tomorrow (an empty store at the second try is how data is lost).
        grep -q 'Corruption' "$dir/why" || fail "$1: $result $(cat "$dir/why")"
        ACCEPT_PANIC=1 "$program" check "$2" "$dir/acks" >/dev/null 2>"$dir/why" && fail "$1: damaged, then not"
        grep -q 'Corruption' "$dir/why" || fail "$1: damaged, then $(cat "$dir/why")"
        echo "fsyncgate: $1: stopped; marked; refused; the disk lost pages of the engine: refused as damaged, twice"
        return
    fi
    "$program" check "$2" "$dir/acks" >/dev/null 2>"$dir/why" || fail "$1: not even twice: $(cat "$dir/why")"
    [ "$(stat -c %s "$dir/acks")" -gt 0 ] || fail "$1: void: nothing was acknowledged before"
    echo "fsyncgate: $1: stopped ($(tail -1 "$dir/writer.err" | sed 's/.*failed write: //' | cut -c1-150)); marked; refused; $result"
}

# One page a request: the loop driver reports a request that was written in part as a success, and such a disk lies about
# data that it never had; ours shall only fail.
power_on() {
    loop=$(losetup -f --show "$image") && echo 4 >"/sys/block/${loop#/dev/}/queue/max_sectors_kb" &&
        mount "$loop" "$mount"
}

# A 200 MB file system whose disk has 64 MB. Its own tables and journal lie on real pages, so that only data can fail.
thin_disk() {
    mount -t tmpfs -o size=64m tmpfs "$ram" && truncate -s 200M "$image" &&
        mkfs.ext4 -q -F -b 4096 -J size=4 -N 512 \
            -E packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=0,nodiscard "$image" 2>/dev/null &&
        dd if="$image" of="$image" bs=1M count=8 conv=notrunc status=none &&
        power_on
}

# full_disk NAME FIRST LEFT_KB TEXT: writers run, then the disk has but so much room left. What fails first is a race; it
# counts if the reason has TEXT in it: answers 1 if it has not.
full_disk() {
    local name=$1 first=$2 left=$3 free
    thin_disk || exit 2
    "$program" init "$mount/store" || exit 2
    "$program" write "$mount/store" 0 "$first" >"$dir/acks" 2>"$dir/writer.err" &
    writer=$!
    sleep 0.7
    sync -f "$mount"
    free=$(df --output=avail -k "$ram" | tail -1)
    head -c $((free - left))K /dev/zero >"$ram/ballast" 2>/dev/null
    until_latched "$name"
    # what the page cache pretends to hold goes away with the mount
    power_off
    rm "$ram/ballast"
    power_on || exit 2
    refused_then_sound "$name" "$mount/store"
    unmount_all
    grep -q "$4" "$dir/writer.err"
}

# insist NAME FIRST LEFT_KB TEXT: until it was the wanted failure, at most five times.
insist() {
    local try
    for try in 1 2 3 4 5; do
        full_disk "$@" && return 0
        echo "fsyncgate: $1: something else failed first, again ($try)"
    done
    fail "$1: void: never what was meant to fail"
}

tried=0
why=''
if [ "$(id -u)" -ne 0 ]; then
    why='needs root, to mount a file system of its own'
elif ! command -v mkfs.ext4 >/dev/null; then
    why='mkfs.ext4 is missing (package e2fsprogs)'
elif ! thin_disk 2>"$dir/why"; then
    why="could not mount: $(head -1 "$dir/why")"
    unmount_all 2>/dev/null
else
    unmount_all
    insist 'log segment' log 2500 'could not make log segment'
    insist 'flush' flush 300 'RocksDB\|background errors'
    tried=2
fi
[ -z "$why" ] || echo "SKIP: fsyncgate: the full disk: $why"

if [ -r "$shim" ]; then
    "$program" init "$dir/store" || exit 2
    SYNC_FAILS_PATH=.seg SYNC_FAILS_AT=500 LD_PRELOAD=$shim \
        ASAN_OPTIONS=verify_asan_link_order=0 "$program" write "$dir/store" 0 >"$dir/acks" 2>"$dir/writer.err" &
    writer=$!
    until_latched 'log sync'
    refused_then_sound 'log sync' "$dir/store"
    tried=$((tried + 1))
else
    echo "SKIP: fsyncgate: the log's sync: no shim at $shim"
fi
[ $tried -gt 0 ] || exit 77
echo "fsyncgate: $tried of 3 kinds of failing sync, each noticed"
