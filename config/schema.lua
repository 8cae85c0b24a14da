-- Every option of a node: its name, what it may be, and what it is if nobody says otherwise.
--
-- This file is data. It is embedded in the program: `flotilla config check` and `flotilla start` check a config
-- against it. An option is
--
--   { name = 'segment_bytes', type = 'size', default = '64MiB', min = '1MiB', max = '1GiB', doc = '...' }
--
--   type      text      with `choices`, if only some words are allowed
--             path      text; a relative one begins at the working directory of the process
--             address   'ip:port' (IPv6 in brackets; port 0: any free one) or 'unix:/path'
--             boolean
--             integer   a whole number
--             size      bytes: a number, or text with a unit: B KiB MiB GiB TiB (powers of 1024)
--             duration  a number, in the unit that ends the name (_ms, _s), or text with a unit: ms s m h d
--             table     of more `options`
--             list      of tables of `options`; an option without a default must be set in each; `max` items
--             values    a table of tables of numbers, booleans and texts, whose names others know; `max` values in all
--   default   in the same forms; for text, '' means what `empty` says
--   min, max  both included
--
-- An option lives in four places: here, in config/node.lua, in struct node_config, and in the table of
-- runtime/node/config_load.c that joins the two. Tests compare them.
return {
  { name = 'data_dir', type = 'path', default = 'data',
    doc = 'The directory that holds everything: identity, log, RocksDB, console socket. `flotilla init` makes it.' },
  { name = 'address', type = 'address', default = '127.0.0.1:7700',
    doc = 'Where clients connect.' },
  { name = 'allow_remote', type = 'boolean', default = false,
    doc = 'Allows addresses that other machines can reach. Nothing is sealed or authenticated yet: trusted networks only.' },
  { name = 'memory_bytes', type = 'size', default = '512MiB', min = '64MiB', max = '16TiB',
    doc = 'For caches, write buffers, requests in flight and Lua together; the node divides it.' },
  { name = 'drain_ms', type = 'duration', default = '3s', min = 0, max = 4999,
    doc = 'After SIGTERM, how long requests that have begun may still take.' },

  { name = 'init', type = 'table', doc = 'What a new data directory says of itself: read by `flotilla init`.', options = {
    { name = 'store_id', type = 'integer', default = 1, min = 1, max = 4294967295,
      doc = 'The number of this store in its cluster.' },
    { name = 'cluster_id', type = 'text', default = '', empty = 'drawn at random',
      doc = '32 hexadecimal digits. With cluster.stores it must be set.' },
  } },

  { name = 'cluster', type = 'table', doc = 'The nodes that hold replicas.', options = {
    { name = 'stores', type = 'list', default = {}, max = 16,
      doc = 'The same list on every node, this one included; empty: a node alone.', options = {
        { name = 'id', type = 'integer', min = 1, max = 4294967295,
          doc = 'The init.store_id of that node.' },
        { name = 'address', type = 'address',
          doc = 'The address of that node: clients and the other nodes connect there.' },
      } },
  } },

  { name = 'console', type = 'table', doc = 'The Lua prompt on the running node: `flotilla console`.', options = {
    { name = 'address', type = 'address', default = '', empty = 'console.sock in data_dir',
      choices = { 'off' },
      doc = "A Unix socket: 'unix:/path'; 'off': no console. Only the node's own user and root are let in." },
    { name = 'sessions_max', type = 'integer', default = 16, min = 1, max = 256,
      doc = 'Consoles at the same time; each has a Lua state of its own.' },
    { name = 'idle_s', type = 'duration', default = '1h', min = 1, max = '720h',
      doc = 'A console that is idle for so long is closed.' },
  } },

  { name = 'http', type = 'table', doc = 'Metrics and health: /metrics, /healthz, /readyz.', options = {
    { name = 'address', type = 'address', default = '127.0.0.1:7780', empty = 'off',
      doc = 'Read-only, and without a password.' },
  } },

  { name = 'log', type = 'table', doc = 'What the node says about itself.', options = {
    { name = 'level', type = 'text', default = 'info', choices = { 'debug', 'info', 'warn', 'error' },
      doc = 'The least level that is written. At run time: `flotilla log level`.' },
    { name = 'format', type = 'text', default = 'logfmt', choices = { 'logfmt', 'json' },
      doc = 'One record a line either way.' },
    { name = 'file', type = 'path', default = '', empty = 'standard error',
      doc = 'Opened again at SIGHUP, so that it can be rotated.' },
  } },

  { name = 'storage', type = 'table', doc = 'The write-ahead log and the engine of applied state.', options = {
    { name = 'segment_bytes', type = 'size', default = '64MiB', min = '1MiB', max = '1GiB',
      doc = 'The length of a log segment. Segments are filled with zeros once, then recycled.' },
    { name = 'spare_segments', type = 'integer', default = 2, min = 1, max = 64,
      doc = 'Segments kept ready ahead of need.' },
    { name = 'background_jobs', type = 'integer', default = 3, min = 3, max = 64,
      doc = 'Flushes and compactions of RocksDB at the same time.' },
    { name = 'disk_reserve_percent', type = 'integer', default = 5, min = 0, max = 50,
      doc = 'With less free space than this, writes answer DISK_FULL; reads and deletes go on.' },
    { name = 'ballast_bytes', type = 'size', default = '64MiB', min = 0, max = '1TiB',
      doc = 'Of the file BALLAST, to be removed when the disk is full; at most 1 % of the disk. 0: none.' },
  } },

  { name = 'limits', type = 'table', doc = 'What one client, and all of them together, may ask of the node.', options = {
    { name = 'frame_max', type = 'size', default = '16MiB', min = '5MiB', max = '64MiB',
      doc = 'The longest frame. A batch of 4 MiB must fit.' },
    { name = 'connections_max', type = 'integer', default = 10000, min = 1, max = 1000000,
      doc = 'One more is told why, and closed.' },
    { name = 'inflight_max', type = 'integer', default = 1024, min = 1, max = 65536,
      doc = 'Unanswered requests of one connection; above that, reading from it pauses.' },
    { name = 'inflight_bytes_max', type = 'size', default = 0, min = 0, max = '1TiB',
      doc = 'Bodies of unanswered requests of all connections; above that: SERVER_IS_BUSY. 0: a share of memory_bytes.' },
    { name = 'backlog_max', type = 'size', default = '64MiB', min = '1MiB', max = '4GiB',
      doc = 'Answers that a slow client has not read yet; above that, its connection is closed.' },
    { name = 'hello_ms', type = 'duration', default = '5s', min = '100ms', max = '5m',
      doc = 'A new connection says hello within this time, or is closed.' },
    { name = 'idle_ms', type = 'duration', default = '5m', min = '1s', max = '24h',
      doc = 'A connection without a frame for so long is closed; a ping keeps it.' },
  } },

  { name = 'region', type = 'table', doc = 'The way of a request from the wire to the disk.', options = {
    { name = 'uncommitted_bytes_max', type = 'size', default = '64MiB', min = '4MiB', max = '4GiB',
      doc = 'Writes proposed and not yet answered; above that: SERVER_IS_BUSY.' },
    { name = 'uncommitted_max', type = 'integer', default = 65536, min = 1, max = 16777216,
      doc = 'The same, counted.' },
    { name = 'busy_backoff_ms', type = 'duration', default = 20, min = 1, max = '10s',
      doc = 'What SERVER_IS_BUSY suggests to wait.' },
    { name = 'reads_max', type = 'integer', default = 65536, min = 1, max = 16777216,
      doc = 'Reads that wait for the disk; above that: SERVER_IS_BUSY.' },
    { name = 'apply_inline_bytes', type = 'size', default = '64KiB', min = 0, max = '4MiB',
      doc = 'Smaller turns are applied on the loop thread, larger ones in the apply lane.' },
    { name = 'scan_rows_max', type = 'integer', default = 10000, min = 1, max = 1000000,
      doc = 'Rows of one answer of a scan; the client asks for the next ones.' },
    { name = 'scan_bytes_max', type = 'size', default = '4MiB', min = '4KiB', max = '16MiB',
      doc = 'The same, in bytes.' },
    { name = 'samples', type = 'integer', default = 128, min = 2, max = 65536,
      doc = 'Keys that are sampled for the policies.' },
  } },

  { name = 'hlc', type = 'table', doc = 'The hybrid logical clock, which stamps every write.', options = {
    { name = 'max_offset_ms', type = 'duration', default = '500ms', min = 1, max = '10s',
      doc = 'A stamp further ahead of this clock is refused.' },
    { name = 'window_ms', type = 'duration', default = '500ms', min = '100ms', max = '1m',
      doc = 'How far ahead the upper bound is saved, so that stamps never run back after a crash.' },
  } },

  { name = 'tso', type = 'table', doc = 'The timestamp oracle.', options = {
    { name = 'window_ms', type = 'duration', default = '500ms', min = '100ms', max = '1m',
      doc = 'How far ahead the window is saved.' },
    { name = 'count_max', type = 'integer', default = 65536, min = 1, max = 262144,
      doc = 'Stamps of one request.' },
  } },

  { name = 'policy', type = 'table', doc = 'Scripts: where they come from and what they may use.', options = {
    { name = 'interval_ms', type = 'duration', default = '5s', min = 0, max = '1h',
      doc = 'Between two plans; 0: policies are never asked.' },
    { name = 'lua_dir', type = 'path', default = '', empty = 'the scripts that are built into the program',
      doc = 'A directory of scripts: pd.lua, split.lua, admin.lua, ...' },
    { name = 'params', type = 'values', default = {}, max = 64,
      doc = 'Parameters of policies: { split = { max_bytes = 2 ^ 26 } }. All that are in force: `flotilla policy list`.' },
    { name = 'watch', type = 'boolean', default = true,
      doc = 'Reload when a file in lua_dir changes. A script that does not build or check changes nothing.' },
    { name = 'memory_bytes', type = 'size', default = '64MiB', min = '1MiB', max = '4GiB',
      doc = "Of the policies' Lua state." },
    { name = 'instructions', type = 'integer', default = 50000000, min = 10000, max = 1000000000000,
      doc = 'Lua instructions of one plan.' },
    { name = 'deadline_ms', type = 'duration', default = '1s', min = '10ms', max = '10m',
      doc = 'Of one plan, by the clock.' },
    { name = 'session_memory_bytes', type = 'size', default = '64MiB', min = '1MiB', max = '4GiB',
      doc = 'Of the Lua state of a console or an admin verb.' },
    { name = 'session_instructions', type = 'integer', default = 500000000, min = 10000, max = 1000000000000,
      doc = 'Lua instructions of one statement at the console, or of one admin verb.' },
    { name = 'session_deadline_ms', type = 'duration', default = '10s', min = '10ms', max = '24h',
      doc = 'The same, by the clock.' },
  } },
}
