#!/usr/bin/env bash
# A disk that is full to the last byte, and what docs/operations.md says to do: the node does not start; without its
# ballast it does, serves reads and deletes, and refuses writes until there is room. Exits with 77 where it may not mount.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=../scripts/lib.sh
. scripts/lib.sh
# shellcheck source=expect.sh
. tests/expect.sh
need_program
f=$flotilla
mount=$tmp/disk
leave() {
    node_kill
    ! mountpoint -q "$mount" || umount "$mount" || umount -l "$mount"
    rm -rf "$tmp"
}
trap leave EXIT
trap 'exit 130' INT TERM
skip() { echo "SKIP: full_disk: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a file system of its own"
command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is missing (package e2fsprogs)"

# A hundredth of 7 GiB is more than the ballast's 64 MiB. The image is sparse: what is written to it is all it takes.
mkdir "$mount"
{ truncate -s 7G "$tmp/image" && mkfs.ext4 -q -F -m 0 "$tmp/image"; } || skip "could not make an ext4 image"
mount -o loop "$tmp/image" "$mount" 2>"$tmp/why" || skip "could not mount a loop device: $(head -1 "$tmp/why")"
free() { df -B1 --output=avail "$mount" | tail -1 | tr -d ' '; }

# fill NAME: somebody takes all that is left, in two sizes of spoon; fallocate writes nothing.
fill() {
    local spoon
    for spoon in 64M 4K; do
        while fallocate -o "$(stat -c %s "$1" 2>/dev/null || echo 0)" -l $spoon "$1" 2>/dev/null; do :; done
    done
    dd if=/dev/zero of="$1.rest" bs=512 2>/dev/null
}

# eventually CODE COMMAND...: until it exits with CODE; a node looks at its disk once a second.
eventually() {
    local want=$1 tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        "$@" >/dev/null 2>&1 </dev/null
        [ $? -ne "$want" ] || break
        sleep 0.1
    done
    run "$want" "$@"
}

# The node's directory on the full disk, its config and log elsewhere.
mkdir "$tmp/node"
ln -s "$mount/data" "$tmp/node/data"
mkdir "$mount/data"
case_of 'a disk with room'
node_new "$tmp/node" || die 'init failed'
node_start || die 'start failed'
checks=$((checks + 1))
[ "$(stat -c %s "$mount/data/BALLAST")" = 67108864 ] || failed 'there is no BALLAST of 64 MiB'
run 0 "$f" kv put keep this
run 0 "$f" kv put drop that

case_of 'a full disk'
fill "$mount/others"
eventually 3 "$f" kv put more of-it
errs 'of the disk is free'
run 0 "$f" kv get keep
is this
node_kill
fill "$mount/others-too"
[ "$(free)" -lt 8192 ] || die "void: $(free) bytes are still free"
run 3 timeout 60 "$f" start --config "$tmp/node/node.lua"
errs 'No space left on device'

case_of 'without the ballast'
run 0 rm "$mount/data/BALLAST"
node_start || die 'start failed'
run 0 "$f" kv get keep
is this
run 0 "$f" kv delete drop
eventually 3 "$f" kv put more of-it
[ ! -e "$mount/data/BALLAST" ] || failed 'the ballast has come back and taken the room'

case_of 'room again'
rm "$mount"/others*
eventually 0 "$f" kv put more of-it
run 0 node_stop
node_start || die 'start failed'
checks=$((checks + 1))
[ "$(stat -c %s "$mount/data/BALLAST")" = 67108864 ] || failed 'the ballast was not made again'
run 0 "$f" kv get more
is of-it
run 1 "$f" kv get drop
run 0 node_stop

echo "full_disk.sh: $checks checks, $failures failed"
[ $failures -eq 0 ]
