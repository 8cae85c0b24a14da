# What the scripts share: a node of one's own, in a directory of one's own, on free ports. Source it.
#
#   node_new DIR [EXTRA_LUA]   writes DIR/node.lua and initialises DIR/data; EXTRA_LUA is put into the table
#   node_start                 starts it, waits for its readiness line; sets $pid and $endpoint
#   node_kill                  kill -9, and waits
#   node_stop                  SIGTERM, and waits; the node's exit code is the function's
#
#   cluster_new DIR N [EXTRA]  writes DIR/1.lua ... DIR/N.lua of one cluster and initialises DIR/1 ... DIR/N
#   cluster_start I            starts node I and waits for its readiness line
#   cluster_leader             prints the number of the node that leads; waits for one, up to 30 s
#   cluster_kill I             kill -9, and waits
#   cluster_stop               SIGTERM to all, and waits; fails if one of them does not end with 0
#
# Only processes that were started here are ever ended, by their ids.
flotilla=${FLOTILLA:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/release/bin/flotilla}
pid='' endpoint='' node_dir=''

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need_program() {
    [ -x "$flotilla" ] || die "there is no $flotilla: run make build first (or set FLOTILLA)"
}

node_new() {
    node_dir=$1
    mkdir -p "$node_dir"
    cat >"$node_dir/node.lua" <<LUA
return {
  data_dir = '$node_dir/data',
  address = '127.0.0.1:0',
  http = { address = '127.0.0.1:0' },
  ${2:-}
}
LUA
    "$flotilla" init --config "$node_dir/node.lua" >"$node_dir/init.log" 2>&1 || {
        cat "$node_dir/init.log" >&2
        return 1
    }
}

# Waits for the readiness line of the process itself: no port is probed, no sleep decides.
node_start() {
    : >"$node_dir/ready"
    "$flotilla" start --config "$node_dir/node.lua" "$@" >"$node_dir/ready" 2>>"$node_dir/log" &
    pid=$!
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        if grep -q '^ready' "$node_dir/ready"; then
            endpoint=$(sed -n 's/^ready.* listening on \([^ ,]*\).*/\1/p' "$node_dir/ready" | head -1)
            export FLOTILLA_ENDPOINT=$endpoint
            return 0
        fi
        if ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid"
            local code=$?
            pid=''
            tail -5 "$node_dir/log" >&2
            return $code
        fi
        sleep 0.05
    done
    echo "$(basename "$0"): the node is not ready after 60 s" >&2
    return 1
}

node_kill() {
    [ -n "$pid" ] || return 0
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=''
}

node_stop() {
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null
    wait "$pid"
    local code=$?
    pid=''
    return $code
}

# ---- Clusters ----
cluster_dir='' cluster_ports=() cluster_pids=()

# A port of 127.0.0.1 that nobody listens on now.
free_port() {
    local port
    for port in $(shuf -n 50 -i 20000-30000); do
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    return 1
}

cluster_new() {
    local dir=$1 count=$2 extra=${3:-} i stores='' id
    cluster_dir=$dir
    mkdir -p "$dir"
    id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    for ((i = 1; i <= count; i++)); do
        cluster_ports[i]=$(free_port) || return 1
        stores+="{ id = $i, address = '127.0.0.1:${cluster_ports[i]}' }, "
    done
    FLOTILLA_ENDPOINT=
    for ((i = 1; i <= count; i++)); do
        cat >"$dir/$i.lua" <<LUA
return {
  data_dir = '$dir/$i',
  address = '127.0.0.1:${cluster_ports[i]}',
  http = { address = '127.0.0.1:0' },
  init = { store_id = $i, cluster_id = '$id' },
  cluster = { stores = { $stores } },
  $extra
}
LUA
        "$flotilla" init --config "$dir/$i.lua" >"$dir/$i.init" 2>&1 || {
            cat "$dir/$i.init" >&2
            return 1
        }
        FLOTILLA_ENDPOINT+=${FLOTILLA_ENDPOINT:+,}127.0.0.1:${cluster_ports[i]}
    done
    export FLOTILLA_ENDPOINT
}

cluster_start() {
    local i=$1 tries
    : >"$cluster_dir/$i.ready"
    "$flotilla" start --config "$cluster_dir/$i.lua" >"$cluster_dir/$i.ready" 2>>"$cluster_dir/$i.log" &
    cluster_pids[i]=$!
    for ((tries = 0; tries < 1200; tries++)); do
        grep -q '^ready' "$cluster_dir/$i.ready" && return 0
        if ! kill -0 "${cluster_pids[i]}" 2>/dev/null; then
            cluster_pids[i]=''
            tail -5 "$cluster_dir/$i.log" >&2
            return 1
        fi
        sleep 0.05
    done
    echo "$(basename "$0"): node $i is not ready after 60 s" >&2
    return 1
}

cluster_leader() {
    local tries i
    for ((tries = 0; tries < 300; tries++)); do
        for i in "${!cluster_ports[@]}"; do
            [ -n "${cluster_pids[i]:-}" ] || continue
            if "$flotilla" status -e "127.0.0.1:${cluster_ports[i]}" -o json 2>/dev/null |
                grep -q '"leads": *"\?[1-9]'; then
                echo "$i"
                return 0
            fi
        done
        sleep 0.1
    done
    return 1
}

cluster_kill() {
    [ -n "${cluster_pids[$1]:-}" ] || return 0
    kill -9 "${cluster_pids[$1]}" 2>/dev/null
    wait "${cluster_pids[$1]}" 2>/dev/null
    cluster_pids[$1]=''
}

cluster_stop() {
    local i code=0
    for i in "${!cluster_pids[@]}"; do
        [ -z "${cluster_pids[i]}" ] || kill -TERM "${cluster_pids[i]}" 2>/dev/null
    done
    for i in "${!cluster_pids[@]}"; do
        [ -n "${cluster_pids[i]}" ] || continue
        wait "${cluster_pids[i]}" || code=1
        cluster_pids[i]=''
    done
    return $code
}
