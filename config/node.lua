-- A node's config: every option, with its default. Copy the lines that you want to change; leave out the rest.
--
--   flotilla config check FILE      what is wrong with it, with line numbers
--   flotilla init --config FILE     makes the data directory
--   flotilla start --config FILE    runs the node in the foreground
--
-- The file is Lua without io, os and friends: it may compute, it may not look around. Sizes are numbers of bytes or
-- text with a unit (B KiB MiB GiB TiB, powers of 1024); durations are numbers in the unit that ends their name, or
-- text with a unit (ms s m h d). Relative paths begin where the process was started. Changes need a restart, except
-- the scripts in policy.lua_dir, which are reloaded when they change.
return {
  -- The directory that holds everything: identity, write-ahead log, RocksDB, console socket. `flotilla init` makes
  -- it, `flotilla start` never does. To remove a node, stop it and remove this directory.
  data_dir = 'data',

  -- Where clients connect: 'ip:port', IPv6 in brackets, port 0 for any free one. Loopback only, unless allow_remote.
  address = '127.0.0.1:7700',
  -- Connections are neither sealed nor authenticated yet. true lets address and http.address be reached from other
  -- machines: on trusted networks only.
  allow_remote = false,

  -- For caches, write buffers, requests in flight and Lua together; the node divides it and shows the parts at
  -- /metrics (flotilla_memory_bytes). 64 MiB or more.
  memory_bytes = '512MiB',

  -- After SIGTERM, how long requests that have begun may still take. Below 5 s.
  drain_ms = '3s',

  -- What a new data directory says of itself: read by `flotilla init`.
  init = {
    -- The number of this store in its cluster, from 1.
    store_id = 1,
    -- 32 hexadecimal digits; empty: drawn at random. With cluster.stores it must be set, the same on every node.
    cluster_id = '',
  },

  -- The nodes that hold replicas.
  cluster = {
    -- Empty: a node alone. Else the same list on every node, at most 16, this one included under its init.store_id and
    -- its address:
    --   { id = 1, address = '127.0.0.1:7701' },
    --   { id = 2, address = '127.0.0.1:7702' },
    --   { id = 3, address = '127.0.0.1:7703' },
    -- config/cluster/ has the three files of such a cluster.
    stores = {},
  },

  -- The Lua prompt on the running node: `flotilla console`.
  console = {
    -- 'unix:/path', or 'off'; empty: console.sock in data_dir. Only the node's own user and root are let in.
    address = '',
    -- Consoles at the same time, up to 256; each has a Lua state of its own.
    sessions_max = 16,
    -- A console that is idle for so long is closed.
    idle_s = '1h',
  },

  -- Metrics and health: /metrics, /healthz, /readyz. Read-only, and without a password.
  http = {
    -- Empty: off.
    address = '127.0.0.1:7780',
  },

  -- What the node says about itself.
  log = {
    -- debug, info, warn or error. At run time: `flotilla log level`.
    level = 'info',
    -- logfmt or json; one record a line either way.
    format = 'logfmt',
    -- Empty: standard error. A file is opened again at SIGHUP, so that it can be rotated.
    file = '',
  },

  -- The write-ahead log and the engine of applied state.
  storage = {
    -- The length of a log segment, 1 MiB to 1 GiB. Segments are filled with zeros once, then recycled.
    segment_bytes = '64MiB',
    -- Segments kept ready ahead of need.
    spare_segments = 2,
    -- Flushes and compactions of RocksDB at the same time; fewer than 3 can stall it.
    background_jobs = 3,
    -- With less free space than this, writes answer DISK_FULL; reads and deletes go on.
    disk_reserve_percent = 5,
    -- The length of the file BALLAST, which holds room in reserve: remove it when the disk is full. At most 1 % of the
    -- disk; made at a start with room. 0: none.
    ballast_bytes = '64MiB',
  },

  -- What one client, and all of them together, may ask of the node.
  limits = {
    -- The longest frame, 5 to 64 MiB: a batch of 4 MiB must fit.
    frame_max = '16MiB',
    -- One more is told why, and closed.
    connections_max = 10000,
    -- Unanswered requests of one connection; above that, reading from it pauses.
    inflight_max = 1024,
    -- Bodies of unanswered requests of all connections; above that: SERVER_IS_BUSY. 0: a share of memory_bytes.
    inflight_bytes_max = 0,
    -- Answers that a slow client has not read yet; above that, its connection is closed.
    backlog_max = '64MiB',
    -- A new connection says hello within this time, or is closed.
    hello_ms = '5s',
    -- A connection without a frame for so long is closed; a ping keeps it.
    idle_ms = '5m',
  },

  -- The way of a request from the wire to the disk.
  region = {
    -- Writes proposed and not yet answered, in bytes and counted; above either: SERVER_IS_BUSY.
    uncommitted_bytes_max = '64MiB',
    uncommitted_max = 65536,
    -- What SERVER_IS_BUSY suggests to wait.
    busy_backoff_ms = '20ms',
    -- Reads that wait for the disk; above that: SERVER_IS_BUSY.
    reads_max = 65536,
    -- Smaller turns are applied on the loop thread, larger ones in the apply lane.
    apply_inline_bytes = '64KiB',
    -- One answer of a scan, in rows and in bytes; the client asks for the next ones.
    scan_rows_max = 10000,
    scan_bytes_max = '4MiB',
    -- Keys that are sampled for the policies.
    samples = 128,
  },

  -- The hybrid logical clock, which stamps every write.
  hlc = {
    -- A stamp further ahead of this node's clock is refused.
    max_offset_ms = '500ms',
    -- How far ahead the upper bound is saved, so that stamps never run back after a crash.
    window_ms = '500ms',
  },

  -- The timestamp oracle.
  tso = {
    -- How far ahead the window is saved.
    window_ms = '500ms',
    -- Stamps of one request; a millisecond has 262,144.
    count_max = 65536,
  },

  -- Scripts: where they come from and what they may use.
  policy = {
    -- Between two plans; 0: policies are never asked.
    interval_ms = '5s',
    -- A directory of scripts (pd.lua, split.lua, admin.lua, ...); empty: those that are built into the program.
    lua_dir = '',
    -- Parameters of policies, by the script's file without .lua: params = { split = { max_bytes = 2 ^ 26 } }. What there
    -- is, within which bounds, stands in each script; `flotilla policy list` shows what is in force.
    params = {},
    -- Reload when a file in lua_dir changes. A script that does not build or check changes nothing.
    watch = true,
    -- One plan: memory of the Lua state, instructions, and time by the clock.
    memory_bytes = '64MiB',
    instructions = 50000000,
    deadline_ms = '1s',
    -- One statement at the console, or one admin verb: the same.
    session_memory_bytes = '64MiB',
    session_instructions = 500000000,
    session_deadline_ms = '10s',
  },
}
