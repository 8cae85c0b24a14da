#!/usr/bin/env bash
# Benchmarks, each beside its peer in the same run, interleaved A B A B. Prints tables; docs/benchmarks.md explains them.
#
#   scripts/bench.sh [storage|node|cluster|script|raft|route]...      default: all; REPS=3 repetitions, SECONDS_EACH=3
#
# The peers are optional: without them (make deps-bench) ours is measured alone, and that is said.
set -uo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need_program
bin=$(dirname "$flotilla")
reps=${REPS:-3}
each=${SECONDS_EACH:-3}
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(storage node cluster script raft route)
dir=$(mktemp -d "${TMPDIR:-/tmp}/flotilla-bench-XXXXXX")
redis_pid=''
etcd_pids=()
leave() {
    node_kill
    for i in "${!cluster_pids[@]}"; do cluster_kill "$i"; done
    [ ${#etcd_pids[@]} -eq 0 ] || kill "${etcd_pids[@]}" 2>/dev/null
    if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null; fi
    rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT TERM

# redis FSYNC: one Redis with an append-only file, on a port of its own.
redis() {
    if [ -n "$redis_pid" ]; then
        kill "$redis_pid"
        wait "$redis_pid" 2>/dev/null
    fi
    mkdir -p "$dir/redis"
    rm -rf "$dir/redis"/*
    redis-server --port 17379 --bind 127.0.0.1 --dir "$dir/redis" --appendonly yes --appendfsync "$1" --save '' \
        --daemonize no >"$dir/redis.log" 2>&1 &
    redis_pid=$!
    local i
    for ((i = 0; i < 100; i++)); do
        redis-cli -p 17379 ping 2>/dev/null | grep -q PONG && return 0
        sleep 0.05
    done
    die "redis-server does not answer; see its output: $(tail -1 "$dir/redis.log")"
}

# CPU seconds of a process so far.
cpu() { awk '{ print ($14 + $15) / 100 }' "/proc/$1/stat"; }

# redis_run TEST CALLERS: requests per second, p50 and p99 in ms, CPU in us per request.
redis_run() {
    local n c0 c1 line
    n=$((each * 20000))
    [ "$2" -gt 1 ] || n=$((each * 5000))
    c0=$(cpu $redis_pid)
    line=$(redis-benchmark -p 17379 -t "$1" -c "$2" -n "$n" -d 128 -r 100000 --csv -q 2>/dev/null | tail -1 | tr -d '"')
    c1=$(cpu $redis_pid)
    awk -F, -v d="$(awk "BEGIN { print $c1 - $c0 }")" -v n="$n" '{ printf "%.0f %s %s %.1f\n", $2, $5, $7, d / n * 1e6 }' <<<"$line"
}

node_part() {
    local have_redis=yes callers rep
    command -v redis-server >/dev/null || {
        have_redis=no
        echo "bench: Redis is not installed (make deps-bench): the node is measured alone"
    }
    node_new "$dir/node" && node_start || die "the node did not start"
    for fsync in always everysec; do # no pipe around this: what is started here is ended by leave()
        echo "bench: Redis with appendfsync $fsync in turn with the node" >&2
        [ $have_redis = no ] || redis $fsync
        for test in set get; do
            for callers in 1 16 64 256; do
                for ((rep = 0; rep < reps; rep++)); do
                    local op=put
                    [ $test = set ] || op=get
                    echo "flotilla synced $op $callers $("$bin/loadgen" --endpoint "$endpoint" --op $op --callers "$callers" \
                        --connections $((callers < 4 ? callers : 4)) --seconds "$each" --value 128 --keys 100000 --pid "$pid" --brief)"
                    [ $have_redis = no ] || echo "redis $fsync $op $callers $(redis_run $test "$callers")"
                done
            done
        done
        [ $have_redis = yes ] || break
    done >"$dir/node.rows"
    printf '\n%-9s %-9s %-4s %7s %12s %9s %9s %10s\n' system sync op callers 'ops/s' 'p50 ms' 'p99 ms' 'cpu us/op'
    sort -k1,4 -k5n "$dir/node.rows" | awk '
        { k = $1 " " $2 " " $3 " " $4; n[k]++; for (i = 5; i <= 8; i++) v[k, n[k], i] = $i; keys[k] = 1 }
        END { for (k in keys) { m = int((n[k] + 1) / 2); print k, v[k, m, 5], v[k, m, 6], v[k, m, 7], v[k, m, 8] } }' |
        sort -k3,3 -k4n -k1,2 | awk '{ printf "%-9s %-9s %-4s %7s %12s %9s %9s %10s\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
    echo "(medians of $reps; peak memory of the node: $(awk '/VmHWM/ { print int($2 / 1024) " MiB" }' "/proc/$pid/status"))"
    node_stop
}

# Three members of etcd on this machine, with its own default durability: every write is synced.
etcd_start() {
    local i peers='' ports=() peer_ports=()
    for i in 0 1 2; do
        ports[i]=$(free_port) && peer_ports[i]=$(free_port) || return 1
        peers+=${peers:+,}n$i=http://127.0.0.1:${peer_ports[i]}
        etcd_endpoints+=${etcd_endpoints:+,}127.0.0.1:${ports[i]}
    done
    for i in 0 1 2; do
        etcd --name "n$i" --data-dir "$dir/etcd$i" --initial-cluster "$peers" --initial-cluster-state new \
            --listen-client-urls "http://127.0.0.1:${ports[i]}" --advertise-client-urls "http://127.0.0.1:${ports[i]}" \
            --listen-peer-urls "http://127.0.0.1:${peer_ports[i]}" \
            --initial-advertise-peer-urls "http://127.0.0.1:${peer_ports[i]}" \
            --quota-backend-bytes 8589934592 --log-level error --logger zap >"$dir/etcd$i.log" 2>&1 &
        etcd_pids[i]=$!
    done
}

cluster_part() {
    local i rep op callers load=$dir/etcdload etcd_endpoints='' all
    cluster_new "$dir/cluster" 3 "policy = { interval_ms = 0 }," || die "init failed"
    for i in 1 2 3; do cluster_start "$i" || die "node $i did not start"; done
    cluster_leader >/dev/null || die "nobody was elected"
    all=$(IFS=,; echo "${cluster_pids[*]}")
    if ! command -v etcd >/dev/null || ! command -v go >/dev/null ||
        ! GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$dir/go go build -o "$load" bench/peers/etcdload.go 2>"$dir/go.log"; then
        echo "bench: etcd or Go is not installed (make deps-bench): the cluster is measured alone"
        load=
    else
        etcd_start || die "etcd did not start"
        for ((i = 0; i < 100; i++)); do
            "$load" -endpoints "$etcd_endpoints" -op fill -callers 128 2>"$dir/etcdload.log" && break
            sleep 0.2
        done
        [ $i -lt 100 ] || die "etcd does not answer: $(tail -1 "$dir/etcdload.log")"
    fi
    for op in put get; do
        for callers in 1 16 64 256; do
            i=$((callers < 4 ? callers : 4))
            for ((rep = 0; rep < reps; rep++)); do
                echo "flotilla $op $callers $("$bin/loadgen" --endpoint "$FLOTILLA_ENDPOINT" --op $op --callers "$callers" \
                    --connections $i --seconds "$each" --value 128 --keys 100000 --pid "$all" --brief)"
                [ -z "$load" ] || echo "etcd $op $callers $("$load" -endpoints "$etcd_endpoints" -op $op -callers "$callers" \
                    -connections $i -seconds "$each" -pid "$(IFS=,; echo "${etcd_pids[*]}")")"
            done
        done
    done >"$dir/cluster.rows"
    printf '\n%-9s %-4s %7s %12s %9s %9s %10s\n' system op callers 'ops/s' 'p50 ms' 'p99 ms' 'cpu us/op'
    sort -k1,3 -k4n "$dir/cluster.rows" | awk '
        { k = $1 " " $2 " " $3; n[k]++; for (i = 4; i <= 7; i++) v[k, n[k], i] = $i; keys[k] = 1 }
        END { for (k in keys) { m = int((n[k] + 1) / 2); print k, v[k, m, 4], v[k, m, 5], v[k, m, 6], v[k, m, 7] } }' |
        sort -k2,2r -k3n -k1,1 | awk '{ printf "%-9s %-4s %7s %12s %9s %9s %10s\n", $1, $2, $3, $4, $5, $6, $7 }'
    echo "(medians of $reps; CPU of all three servers; peak memory: ours $(peak "${cluster_pids[@]}"), etcd $(peak "${etcd_pids[@]:-0}"))"
    cluster_stop
    [ ${#etcd_pids[@]} -eq 0 ] || kill "${etcd_pids[@]}"
    etcd_pids=()
}

# Peak resident memory of processes, in MiB each.
peak() {
    local one
    for one in "$@"; do awk '/VmHWM/ { printf "%d ", $2 / 1024 }' "/proc/$one/status" 2>/dev/null; done
    echo MiB
}

raft_part() {
    local rep peer=$dir/etcdraft
    if ! command -v go >/dev/null ||
        ! GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$dir/go go build -o "$peer" bench/peers/etcdraft.go 2>"$dir/go.log"; then
        echo "bench: Go or etcd's library is not installed (make deps-bench): ours is measured alone"
        peer=
    fi
    for ((rep = 0; rep < reps; rep++)); do
        "$bin/raft_core" "$each" | sed 's/^/flotilla /'
        [ -z "$peer" ] || GOMAXPROCS=1 "$peer" "$each" | sed 's/^/etcd     /'
    done
}

for part in "${parts[@]}"; do
    case $part in
    storage)
        printf '\n== storage library against bare RocksDB, same durability\n'
        "$bin/storage_bench" --seconds "$each" --reps "$reps" --dir "$dir/storage" || die "storage_bench failed"
        ;;
    node)
        printf '\n== node against Redis\n'
        node_part
        ;;
    cluster)
        printf '\n== cluster of three beside etcd, both synced on a majority, on this machine\n'
        cluster_part
        ;;
    script)
        printf '\n== scripts: cost of a call, and of a hostile script to its neighbours\n'
        "$bin/script_bench" || die "script_bench failed"
        scripts/bench-hostile.sh || die "bench-hostile failed"
        ;;
    raft)
        printf '\n== consensus core, in memory, beside etcd'"'"'s Raft library; per second of CPU time\n'
        raft_part
        ;;
    route)
        printf '\n== routing engine and route catalog, in memory; CPU time\n'
        "$bin/route_bench" || die "route_bench failed"
        ;;
    *) die "there is no part \"$part\" (storage, node, cluster, script, raft, route)" ;;
    esac
done
