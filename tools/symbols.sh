#!/usr/bin/env bash
# What the objects of the layers may hold and call. Runs as a test on the release build.
#
#   tools/symbols.sh BUILD_DIR
#
# 1. No mutable globals below main: a node is a value, and a process may hold a hundred.
# 2. Time, chance, sockets, files and threads come through env: only runtime/uv calls the machine.
# 3. Nobody sets the machine's clock (row 004-10).
set -uo pipefail
build=${1:?usage: tools/symbols.sh BUILD_DIR}
findings=0
say() {
    echo "symbols: $*"
    findings=$((findings + 1))
}

layers="base env wire raft storage region net pd script node sim_world"
machine='^(open|openat|creat|read|pread|pread64|write|pwrite|pwrite64|pwritev|pwritev64|fsync|fdatasync|rename|unlink|mkdir|opendir|socket|connect|accept|bind|listen|send|recv|sendto|recvfrom|time|gettimeofday|clock_gettime|nanosleep|usleep|sleep|rand|random|srand|getrandom|arc4random|pthread_create|pthread_mutex_lock|pthread_cond_wait|fork|poll|select|epoll_wait|signal|sigaction)$'

for layer in $layers; do
    lib=$(find "$build" -name "liblayer_$layer.a" | head -1)
    [ -n "$lib" ] || continue
    # Writable data of any size; function-local statics count too. Tables of pointers (.data.rel.ro) are constant.
    while read -r object name; do
        say "$layer: $object holds the mutable global $name"
    done < <(objdump -t "$lib" 2>/dev/null | awk '
        /file format/ { sub(/:.*/, "", $1); object = $1 }
        $0 ~ / O (\.data|\.bss|\.tdata|\.tbss|\*COM\*)\t/ { print object, $NF }')
    while read -r object name; do
        case $layer/$object/$name in
        node/http.c.o/*) ;;            # libmicrohttpd's thread: answers from snapshots
        node/main.c.o/*) ;;            # the one that owns a process
        base/logger.c.o/write) ;;      # the default sink
        storage/engine_rocks.c.o/*) ;; # RocksDB has a world of its own
        *) say "$layer: $object calls $name() past env" ;;
        esac
    done < <(nm -A -u "$lib" 2>/dev/null | awk '{ split($1, a, ":"); print a[2], $NF }' | sed 's/@.*//' |
        awk -v m="$machine" '$2 ~ m')
done

program=$build/bin/flotilla
if [ -e "$program" ]; then
    for symbol in clock_settime adjtimex settimeofday ntp_adjtime; do
        if nm -D "$program" | grep -qw "$symbol"; then say "the program calls $symbol()"; fi
    done
else
    say "there is no $program"
fi
[ $findings -eq 0 ] && echo "symbols: nothing to say"
