-- Flotilla for LuaJIT: libflotilla by the FFI.
--
--   local flotilla = require 'flotilla'
--   local db = assert(flotilla.open { endpoint = '127.0.0.1:7700,127.0.0.1:7701' })
--   assert(db:put('k', 'v'))
--   print(db:get('k'))                        --> v
--   local version, err = db:cas_put('counter', 0, '1')
--   if err and err.code == 'CONFLICT' then print(err.version, err.value) end
--
-- Keys and values are strings. Versions and timestamps are uint64_t (cdata: 1ULL); where one is an argument a number
-- does as well. What fails answers nil and an error: a table with `code` ('UNDETERMINED'), `class` ('undetermined'),
-- `message`, and of a conflict `version` and `value`; tostring() of it is a sentence. Wrong arguments raise.
--
-- A handle belongs to one Lua state and waits for each call; a queue has many operations under way. What is not closed
-- is closed when it is collected.

local ffi = require 'ffi'

ffi.cdef [[
typedef struct flotilla flotilla_t;
typedef struct flotilla_scan flotilla_scan_t;
typedef struct flotilla_batch flotilla_batch_t;
typedef struct flotilla_queue flotilla_queue_t;
typedef struct { int code; uint32_t backoff_ms; char message[500]; } flotilla_error_t;
typedef struct { const void *data; size_t len; } flotilla_bytes_t;
typedef struct { bool found; uint64_t version; void *data; size_t len; } flotilla_value_t;
typedef struct {
    size_t size;
    const char *endpoint, *cluster_id, *identity;
    uint32_t timeout_ms, connect_ms, inflight_max;
    size_t queue_bytes_max;
    bool lazy;
} flotilla_options_t;
typedef struct {
    flotilla_bytes_t start, end_; uint64_t limit; uint32_t page; bool keys_only;
} flotilla_range_t;
typedef struct { flotilla_bytes_t key, value; uint64_t version; } flotilla_row_t;
typedef struct {
    int kind; uint32_t ns; flotilla_bytes_t key, value; uint64_t expected; bool conditional, want_current;
    flotilla_batch_t *batch; uint32_t count, timeout_ms;
} flotilla_op_t;
typedef struct {
    uint64_t tag; int code; uint32_t backoff_ms; const char *message; bool found;
    uint64_t version, hlc, first; flotilla_bytes_t value;
} flotilla_completion_t;

int flotilla_error_class(int code);
const char *flotilla_code_name(int code);
const char *flotilla_version(void);
void flotilla_value_free(flotilla_value_t *value);
void flotilla_free(void *memory);
int flotilla_open(const flotilla_options_t *options, flotilla_t **ret, flotilla_error_t *error);
void flotilla_close(flotilla_t *db);
void flotilla_set_timeout(flotilla_t *db, uint32_t timeout_ms);
int flotilla_namespace_find(flotilla_t *db, const char *name, uint32_t *ret, flotilla_error_t *error);
int flotilla_namespace_create(flotilla_t *db, const char *name, const char *mode, uint32_t *ret, flotilla_error_t *error);
int flotilla_raw_put(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, flotilla_bytes_t value, flotilla_error_t *error);
int flotilla_get(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, flotilla_value_t *ret, flotilla_error_t *error);
int flotilla_delete(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, flotilla_error_t *error);
int flotilla_cas_put(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, uint64_t expected, flotilla_bytes_t value,
                     uint64_t *version, flotilla_value_t *current, flotilla_error_t *error);
int flotilla_cas_get(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, flotilla_value_t *ret, flotilla_error_t *error);
int flotilla_cas_delete(flotilla_t *db, uint32_t ns, flotilla_bytes_t key, const uint64_t *expected, uint64_t *version,
                        flotilla_value_t *current, flotilla_error_t *error);
int flotilla_scan(flotilla_t *db, uint32_t ns, const flotilla_range_t *range, flotilla_scan_t **ret, flotilla_error_t *error);
int flotilla_cas_scan(flotilla_t *db, uint32_t ns, const flotilla_range_t *range, flotilla_scan_t **ret, flotilla_error_t *error);
bool flotilla_scan_next(flotilla_scan_t *scan, flotilla_row_t *row, flotilla_error_t *error);
void flotilla_scan_close(flotilla_scan_t *scan);
flotilla_batch_t *flotilla_batch_new(void);
void flotilla_batch_free(flotilla_batch_t *batch);
void flotilla_batch_clear(flotilla_batch_t *batch);
int flotilla_batch_put(flotilla_batch_t *batch, uint32_t ns, flotilla_bytes_t key, flotilla_bytes_t value);
int flotilla_batch_delete(flotilla_batch_t *batch, uint32_t ns, flotilla_bytes_t key);
int flotilla_batch_cas_put(flotilla_batch_t *batch, uint32_t ns, flotilla_bytes_t key, uint64_t expected, flotilla_bytes_t value);
int flotilla_batch_cas_delete(flotilla_batch_t *batch, uint32_t ns, flotilla_bytes_t key, const uint64_t *expected);
size_t flotilla_batch_count(const flotilla_batch_t *batch);
int flotilla_batch_commit(flotilla_t *db, flotilla_batch_t *batch, flotilla_error_t *error);
int flotilla_batch_result(const flotilla_batch_t *batch, size_t i, uint64_t *version);
int flotilla_get_tso(flotilla_t *db, uint32_t count, uint64_t *first, flotilla_error_t *error);
int flotilla_admin(flotilla_t *db, const char *verb, const char *arguments, char **result, flotilla_error_t *error);
int flotilla_queue_open(flotilla_t *db, flotilla_queue_t **ret, flotilla_error_t *error);
void flotilla_queue_close(flotilla_queue_t *queue);
int flotilla_queue_submit(flotilla_queue_t *queue, const flotilla_op_t *op, uint64_t tag, flotilla_error_t *error);
bool flotilla_queue_next(flotilla_queue_t *queue, int timeout_ms, flotilla_completion_t *ret);
size_t flotilla_queue_pending(const flotilla_queue_t *queue);
]]

-- $FLOTILLA_LIBRARY names another file, for tests of a build tree.
local lib = ffi.load(os.getenv 'FLOTILLA_LIBRARY' or 'flotilla')

local OK, CONFLICT = 0, 18
local CLASSES = { [0] = 'ok', 'retry_same', 'retry_route', 'final', 'undetermined' }

local bytes_t = ffi.typeof 'flotilla_bytes_t'
local value_t = ffi.typeof 'flotilla_value_t'
local u64_t = ffi.typeof 'uint64_t'
local u64_box = ffi.typeof 'uint64_t[1]'
local u32_box = ffi.typeof 'uint32_t[1]'

-- ---- Arguments and results ------------------------------------------------------------------------------------

local function text(what, s, level)
  if type(s) ~= 'string' then error(('%s must be a string, not %s'):format(what, type(s)), level or 3) end
  return s
end

-- A view of a Lua string: valid while the caller holds the string.
local function bytes(what, s) return bytes_t(text(what, s, 4), #s) end

local function u64(what, v)
  if type(v) == 'number' and (v < 0 or v > 2 ^ 53 or v % 1 ~= 0) then
    error(('%s must be a whole number up to 2^53, or a uint64_t'):format(what), 3)
  end
  if type(v) ~= 'number' and not ffi.istype(u64_t, v) then
    error(('%s must be a uint64_t or a number, not %s'):format(what, type(v)), 3)
  end
  return u64_t(v)
end

local function string_of(b) return b.data ~= nil and ffi.string(b.data, b.len) or nil end

-- The value, and frees it.
local function take(value)
  local s = value.found and ffi.string(value.data, value.len) or nil
  lib.flotilla_value_free(value)
  return s
end

local failure = { __tostring = function(e) return ('%s: %s'):format(e.code, e.message) end }
failure.__index = failure

local function fail(code, message, backoff_ms)
  return setmetatable({
    code = ffi.string(lib.flotilla_code_name(code)),
    number = code,
    class = CLASSES[lib.flotilla_error_class(code)],
    message = message,
    backoff_ms = backoff_ms,
  }, failure)
end

local function fail_from(e) return fail(e.code, ffi.string(e.message), tonumber(e.backoff_ms)) end

-- ---- Owners ---------------------------------------------------------------------------------------------------
--
-- Scans and queues must end before their handle. Each one's finalizer holds the handle's cdata, and LuaJIT keeps what a
-- finalizer refers to until it has run: so the collector cannot free the handle first.

local function close_handle(box)
  if box[0] ~= nil then
    lib.flotilla_close(box[0])
    box[0] = nil
  end
end

local function own(what, pointer, close, handle)
  local box = ffi.new(what .. '[1]', { pointer })
  local function finalize(b)
    if b[0] ~= nil and handle[0] ~= nil then close(b[0]) end
    b[0] = nil
  end
  return ffi.gc(box, finalize), finalize
end

local handle_index = {}
local handle_meta = { __index = handle_index }

-- A handle's methods are those of its default namespace; db:namespace(name) has the same for another.
local function handle_of(shared, ns) return setmetatable({ shared = shared, ns = ns }, handle_meta) end

local function live(self)
  local db = self.shared.box[0]
  if db == nil then error('the handle is closed', 3) end
  return db
end

local flotilla = { version = ffi.string(lib.flotilla_version()) }

--- Opens a handle. All fields are optional: endpoint, cluster_id, identity, timeout_ms, connect_ms, lazy.
function flotilla.open(options)
  local o, e, ret = ffi.new 'flotilla_options_t', ffi.new 'flotilla_error_t', ffi.new 'flotilla_t *[1]'
  options = options or {}
  o.size = ffi.sizeof(o)
  o.endpoint = options.endpoint
  o.cluster_id = options.cluster_id
  local identity = options.identity or ('lua-flotilla/' .. flotilla.version) -- held here until it was copied
  o.identity = identity
  o.timeout_ms = options.timeout_ms or 0
  o.connect_ms = options.connect_ms or 0
  o.lazy = options.lazy or false
  if lib.flotilla_open(o, ret, e) ~= OK then return nil, fail_from(e) end
  local shared = {
    box = ffi.gc(ret, close_handle),
    error = e,
    open = setmetatable({}, { __mode = 'k' }), -- scans and queues: closed with the handle
  }
  return handle_of(shared, 1)
end

function handle_index:close()
  for thing in pairs(self.shared.open) do
    thing:close()
  end
  close_handle(self.shared.box)
end

function handle_index:set_timeout(timeout_ms) lib.flotilla_set_timeout(live(self), timeout_ms) end

--- The same handle for another namespace.
function handle_index:namespace(name)
  local id, e = u32_box(), self.shared.error
  if lib.flotilla_namespace_find(live(self), text('name', name), id, e) ~= OK then return nil, fail_from(e) end
  return handle_of(self.shared, id[0])
end

function handle_index:create_namespace(name, mode)
  local id, e = u32_box(), self.shared.error
  if lib.flotilla_namespace_create(live(self), text('name', name), mode, id, e) ~= OK then return nil, fail_from(e) end
  return handle_of(self.shared, id[0])
end

-- ---- Keys -----------------------------------------------------------------------------------------------------

function handle_index:put(key, value)
  local e = self.shared.error
  if lib.flotilla_raw_put(live(self), self.ns, bytes('key', key), bytes('value', value), e) ~= OK then
    return nil, fail_from(e)
  end
  return true
end

--- The value; nil alone if there is none.
function handle_index:get(key)
  local e, value = self.shared.error, value_t()
  if lib.flotilla_get(live(self), self.ns, bytes('key', key), value, e) ~= OK then return nil, fail_from(e) end
  return take(value)
end

function handle_index:delete(key)
  local e = self.shared.error
  if lib.flotilla_delete(live(self), self.ns, bytes('key', key), e) ~= OK then return nil, fail_from(e) end
  return true
end

local function conflict(e, current)
  local err = fail_from(e)
  if err.number == CONFLICT then
    err.version = current.version
    err.value = take(current)
  end
  return nil, err
end

--- Writes if the version is `expected` (0: absent). The new version.
function handle_index:cas_put(key, expected, value)
  local e, version, current = self.shared.error, u64_box(), value_t()
  local rc = lib.flotilla_cas_put(
    live(self), self.ns, bytes('key', key), u64('expected', expected), bytes('value', value), version, current, e)
  if rc ~= OK then return conflict(e, current) end
  return version[0]
end

--- The value or nil, and the version: 0 if it was never written.
function handle_index:cas_get(key)
  local e, value = self.shared.error, value_t()
  if lib.flotilla_cas_get(live(self), self.ns, bytes('key', key), value, e) ~= OK then return nil, fail_from(e) end
  local version = value.version
  return take(value), version
end

--- Deletes if the version is `expected` (nil: whatever it is). The tombstone's version.
function handle_index:cas_delete(key, expected)
  local e, version, current = self.shared.error, u64_box(), value_t()
  local condition = expected ~= nil and u64_box(u64('expected', expected)) or nil
  local rc = lib.flotilla_cas_delete(live(self), self.ns, bytes('key', key), condition, version, current, e)
  if rc ~= OK then return conflict(e, current) end
  return version[0]
end

-- ---- Scans ----------------------------------------------------------------------------------------------------

local scan_index = {}
local scan_meta = { __index = scan_index }

function scan_index:close()
  self.finalize(self.box)
  self.shared.open[self] = nil
end

--- The next row as { key, value, version }; nil at the end; nil and an error.
function scan_index:next()
  if self.box[0] == nil then return nil end
  local e = self.shared.error
  if lib.flotilla_scan_next(self.box[0], self.row, e) then
    local version = self.versioned and self.row.version or nil
    return { key = string_of(self.row.key), value = string_of(self.row.value) or '', version = version }
  end
  local code = e.code
  local err = code ~= OK and fail_from(e) or nil
  self:close()
  return nil, err
end

local function begin_scan(self, start, range, versioned)
  local r, e, ret = ffi.new 'flotilla_range_t', self.shared.error, ffi.new 'flotilla_scan_t *[1]'
  range = range or {}
  if range.from then r.start = bytes('from', range.from) end
  if range.to then r.end_ = bytes('to', range.to) end
  r.limit = range.limit or 0
  r.page = range.page or 0
  r.keys_only = range.keys_only or false
  if start(live(self), self.ns, r, ret, e) ~= OK then return nil, fail_from(e) end
  local shared = self.shared
  local scan = setmetatable({ shared = shared, row = ffi.new 'flotilla_row_t', versioned = versioned }, scan_meta)
  scan.box, scan.finalize = own('flotilla_scan_t *', ret[0], lib.flotilla_scan_close, shared.box)
  shared.open[scan] = true
  return scan
end

local function collect(scan, err)
  if not scan then return nil, err end
  local rows = {}
  local row
  row, err = scan:next()
  while row do
    rows[#rows + 1] = row
    row, err = scan:next()
  end
  if err then return nil, err end
  return rows
end

--- Rows of raw keys as an array of { key, value }. `range`: from, to (exclusive), limit, page, keys_only.
function handle_index:scan(range) return collect(begin_scan(self, lib.flotilla_scan, range)) end

--- Likewise of versioned keys: { key, value, version }.
function handle_index:cas_scan(range) return collect(begin_scan(self, lib.flotilla_cas_scan, range, true)) end

--- An open scan of raw keys, for more rows than memory: scan:next(), scan:close().
function handle_index:open_scan(range) return begin_scan(self, lib.flotilla_scan, range) end
function handle_index:open_cas_scan(range) return begin_scan(self, lib.flotilla_cas_scan, range, true) end

-- ---- Batches --------------------------------------------------------------------------------------------------

local batch_index = {}
local batch_meta = { __index = batch_index }

function handle_index:batch()
  local batch = lib.flotilla_batch_new()
  if batch == nil then return nil, fail(8, 'no memory for a batch') end
  return setmetatable({ db = self, wire = ffi.gc(batch, lib.flotilla_batch_free) }, batch_meta)
end

local function added(rc)
  if rc == OK then return true end
  return nil, fail(rc, rc == 19 and 'the batch is full: commit what is there first' or 'the write was not added')
end

function batch_index:put(key, value)
  return added(lib.flotilla_batch_put(self.wire, self.db.ns, bytes('key', key), bytes('value', value)))
end

function batch_index:delete(key) return added(lib.flotilla_batch_delete(self.wire, self.db.ns, bytes('key', key))) end

function batch_index:cas_put(key, expected, value)
  return added(lib.flotilla_batch_cas_put(
    self.wire, self.db.ns, bytes('key', key), u64('expected', expected), bytes('value', value)))
end

function batch_index:cas_delete(key, expected)
  local condition = expected ~= nil and u64_box(u64('expected', expected)) or nil
  return added(lib.flotilla_batch_cas_delete(self.wire, self.db.ns, bytes('key', key), condition))
end

function batch_index:clear() lib.flotilla_batch_clear(self.wire) end

local function outcomes(wire)
  local results, version = {}, u64_box()
  for i = 1, tonumber(lib.flotilla_batch_count(wire)) do
    local rc = lib.flotilla_batch_result(wire, i - 1, version)
    results[i] = { code = ffi.string(lib.flotilla_code_name(rc)), version = version[0] }
  end
  return results
end

--- Commits: an array of { code, version }, one for each write, in order. On failure nil and an error whose `results` say
--- what is known of each write. The batch keeps its writes: clear() it before it is used for others.
function batch_index:commit()
  local e = self.db.shared.error
  if lib.flotilla_batch_commit(live(self.db), self.wire, e) ~= OK then
    local err = fail_from(e)
    err.results = outcomes(self.wire)
    return nil, err
  end
  return outcomes(self.wire)
end

-- ---- Timestamps, admin ----------------------------------------------------------------------------------------

--- The first of `count` (1) timestamps that nobody else gets.
function handle_index:tso(count)
  local e, first = self.shared.error, u64_box()
  if lib.flotilla_get_tso(live(self), count or 1, first, e) ~= OK then return nil, fail_from(e) end
  return first[0]
end

--- Runs an admin verb; arguments and result are JSON text.
function handle_index:admin(verb, arguments)
  local e, ret = self.shared.error, ffi.new 'char *[1]'
  if lib.flotilla_admin(live(self), text('verb', verb), arguments, ret, e) ~= OK then return nil, fail_from(e) end
  local result = ffi.string(ret[0])
  lib.flotilla_free(ret[0])
  return result
end

-- ---- Queues ---------------------------------------------------------------------------------------------------
--
--   local q = db:queue()
--   for i = 1, 100 do q:put('k' .. i, 'v', i) end        -- the last argument, of any type, comes back with the outcome
--   for done in q:each() do print(done.tag, done.err) end

local KINDS = { put = 0, get = 1, delete = 2, cas_put = 3, cas_get = 4, cas_delete = 5, batch = 6, tso = 7 }

local queue_index = {}
local queue_meta = { __index = queue_index }

function handle_index:queue()
  local e, ret = self.shared.error, ffi.new 'flotilla_queue_t *[1]'
  if lib.flotilla_queue_open(live(self), ret, e) ~= OK then return nil, fail_from(e) end
  local shared = self.shared
  local q = setmetatable({
    db = self, shared = shared, tags = {}, next_tag = 0,
    op = ffi.new 'flotilla_op_t', completion = ffi.new 'flotilla_completion_t',
  }, queue_meta)
  q.box, q.finalize = own('flotilla_queue_t *', ret[0], lib.flotilla_queue_close, shared.box)
  shared.open[q] = true
  return q
end

function queue_index:close()
  self.finalize(self.box)
  self.shared.open[self] = nil
end

-- `kept` must live as long as the operation: a batch.
local function submit(self, kind, tag, kept)
  if self.box[0] == nil then error('the queue is closed', 3) end
  local e = self.shared.error
  self.op.kind = KINDS[kind]
  self.op.ns = self.db.ns
  self.next_tag = self.next_tag + 1
  local rc = lib.flotilla_queue_submit(self.box[0], self.op, self.next_tag, e)
  ffi.fill(self.op, ffi.sizeof(self.op))
  if rc ~= OK then return nil, fail_from(e) end
  self.tags[self.next_tag] = { tag = tag, kind = kind, kept = kept }
  return true
end

function queue_index:put(key, value, tag)
  self.op.key, self.op.value = bytes('key', key), bytes('value', value)
  return submit(self, 'put', tag)
end

function queue_index:get(key, tag)
  self.op.key = bytes('key', key)
  return submit(self, 'get', tag)
end

function queue_index:delete(key, tag)
  self.op.key = bytes('key', key)
  return submit(self, 'delete', tag)
end

function queue_index:cas_put(key, expected, value, tag)
  self.op.key, self.op.value, self.op.expected = bytes('key', key), bytes('value', value), u64('expected', expected)
  self.op.want_current = true
  return submit(self, 'cas_put', tag)
end

function queue_index:cas_get(key, tag)
  self.op.key = bytes('key', key)
  return submit(self, 'cas_get', tag)
end

function queue_index:cas_delete(key, expected, tag)
  self.op.key = bytes('key', key)
  if expected ~= nil then
    self.op.conditional, self.op.expected = true, u64('expected', expected)
  end
  return submit(self, 'cas_delete', tag)
end

--- A batch of db:batch(); it must not be touched until its outcome was fetched.
function queue_index:batch(batch, tag)
  self.op.batch = batch.wire
  return submit(self, 'batch', tag, batch)
end

function queue_index:tso(count, tag)
  self.op.count = count
  return submit(self, 'tso', tag)
end

function queue_index:pending() return tonumber(lib.flotilla_queue_pending(self.box[0])) end

local function describe(c, entry)
  local done = { tag = entry.tag, kind = entry.kind }
  local value = c.found and string_of(c.value) or nil
  if c.code ~= OK then
    done.err = fail(c.code, ffi.string(c.message), tonumber(c.backoff_ms))
    if c.code == CONFLICT then
      done.err.version, done.err.value = c.version, value
    end
  else
    done.value = value
    if entry.kind:find '^cas' then done.version = c.version end
    if entry.kind == 'tso' then done.first = c.first end
  end
  if entry.kind == 'batch' then done.results = outcomes(entry.kept.wire) end
  return done
end

--- The next outcome: a table with tag, kind, and err or what the call of that name answers (value, version, first,
--- results). Waits at most `timeout_ms` (nil: while anything is pending). nil: nothing has come.
function queue_index:next(timeout_ms)
  if self.box[0] == nil then return nil end
  local c = self.completion
  if not lib.flotilla_queue_next(self.box[0], timeout_ms or -1, c) then return nil end
  local tag = tonumber(c.tag)
  local entry = self.tags[tag]
  self.tags[tag] = nil
  return describe(c, entry)
end

--- All outcomes, until nothing is pending: for done in q:each() do ... end
function queue_index:each()
  return function() return self:next() end
end

return flotilla
