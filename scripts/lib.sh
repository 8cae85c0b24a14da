# What the scripts share: a node of one's own, in a directory of one's own, on free ports. Source it.
#
#   node_new DIR [EXTRA_LUA]   writes DIR/node.lua and initialises DIR/data; EXTRA_LUA is put into the table
#   node_start                 starts it, waits for its readiness line; sets $pid and $endpoint
#   node_kill                  kill -9, and waits
#   node_stop                  SIGTERM, and waits; the node's exit code is the function's
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
