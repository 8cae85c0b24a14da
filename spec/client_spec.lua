-- The LuaJIT binding (client/lua/flotilla.lua) against a real node, which is started here and ended by its id.
--
--   FLOTILLA=build/release/bin/flotilla FLOTILLA_LIBRARY=build/release/client/libflotilla.so busted spec/client_spec.lua
--
-- `ctest -R node.client_lua` sets both. Without them, or under another Lua, the spec skips and says so.
local program, library = os.getenv 'FLOTILLA', os.getenv 'FLOTILLA_LIBRARY'

local function readable(path)
  local file = path and io.open(path, 'rb')
  if file then file:close() end
  return file ~= nil
end

local why = not rawget(_G, 'jit') and 'it needs LuaJIT'
  or not readable(program) and 'there is no program: set FLOTILLA'
  or not readable(library) and 'there is no library: set FLOTILLA_LIBRARY'
if why then
  describe('the binding', function() pending('is skipped: ' .. why) end)
  return
end

package.path = 'client/lua/?.lua;' .. package.path
local flotilla = require 'flotilla'
local ffi = require 'ffi'
ffi.cdef 'int poll(void *, unsigned long, int);'

-- ---- A node -----------------------------------------------------------------------------------------------------

local function run(command)
  local pipe = assert(io.popen(command))
  local out = pipe:read '*a'
  pipe:close()
  return (out:gsub('%s+$', ''))
end

local function read(path)
  local file = io.open(path, 'rb')
  local text = file and file:read '*a' or ''
  if file then file:close() end
  return text
end

local node = {}

function node.start()
  node.dir = run 'mktemp -d "${TMPDIR:-/tmp}/flotilla-lua-XXXXXX"'
  local config = assert(io.open(node.dir .. '/node.lua', 'w'))
  config:write(("return { data_dir = '%s/data', address = '127.0.0.1:0', http = { address = '' } }\n"):format(node.dir))
  config:close()
  run(('%s init --config %s/node.lua >%s/init 2>&1'):format(program, node.dir, node.dir))
  -- Detached from this shell's pipe: popen() would wait for whoever holds it.
  node.pid = run(('%s start --config %s/node.lua >%s/out 2>%s/log </dev/null & echo $!'):format(
    program, node.dir, node.dir, node.dir))
  for _ = 1, 1200 do
    node.endpoint = read(node.dir .. '/out'):match 'listening on ([^ ,\n]+)'
    if node.endpoint then return end
    ffi.C.poll(nil, 0, 50)
  end
  error('the node is not ready after 60 s: ' .. read(node.dir .. '/log'))
end

function node.stop()
  run('kill -TERM ' .. node.pid)
  for _ = 1, 600 do
    if run('kill -0 ' .. node.pid .. ' 2>/dev/null && echo lives') == '' then break end
    ffi.C.poll(nil, 0, 50)
  end
  run('rm -rf ' .. node.dir)
end

-- ---- What is claimed ----------------------------------------------------------------------------------------------

describe('the LuaJIT binding', function()
  local db

  setup(function()
    node.start()
    db = assert(flotilla.open { endpoint = node.endpoint, timeout_ms = 20000 })
  end)

  teardown(function()
    if db then db:close() end
    node.stop()
  end)

  it('puts, gets and deletes any bytes', function()
    local key, value = 'k\0\255', '\0v\0'
    assert.is_true(db:put(key, value))
    assert.equal(value, db:get(key))
    assert.is_true(db:put(key, ''))
    assert.equal('', db:get(key))
    assert.is_true(db:delete(key))
    local gone, err = db:get(key)
    assert.is_nil(gone)
    assert.is_nil(err) -- a miss is no error
  end)

  it('compares and swaps, with versions that are no doubles', function()
    local first = assert(db:cas_put('c', 0, 'one'))
    assert.is_true(ffi.istype('uint64_t', first))
    local value, version = db:cas_get('c')
    assert.equal('one', value)
    assert.is_true(version == first)
    local second = assert(db:cas_put('c', first, 'two'))
    assert.is_true(second > first)
    local none, err = db:cas_put('c', first, 'three')
    assert.is_nil(none)
    assert.equal('CONFLICT', err.code)
    assert.equal('final', err.class)
    assert.is_true(err.version == second)
    assert.equal('two', err.value)
    local tombstone = assert(db:cas_delete('c', second))
    assert.is_true(tombstone > second)
    value, version = db:cas_get('c')
    assert.is_nil(value)
    assert.is_true(version == tombstone)
    none, err = db:cas_delete('c')
    assert.is_nil(none)
    assert.equal('NOT_FOUND', err.code)
    value, version = db:cas_get('never')
    assert.is_nil(value)
    assert.is_true(version == 0ULL)
  end)

  it('scans in order, in pages, with limits', function()
    for i = 1, 25 do
      assert(db:put(('s%02d'):format(i), tostring(i)))
    end
    local rows = assert(db:scan { from = 's', to = 't', page = 7 })
    assert.equal(25, #rows)
    assert.same({ key = 's01', value = '1' }, rows[1])
    assert.same({ key = 's25', value = '25' }, rows[25])
    rows = assert(db:scan { from = 's10', to = 's20', limit = 3, keys_only = true })
    assert.same({ { key = 's10', value = '' }, { key = 's11', value = '' }, { key = 's12', value = '' } }, rows)
    local version = assert(db:cas_put('sc', 0, 'v'))
    rows = assert(db:cas_scan { from = 'sc', to = 'sd' })
    assert.equal(1, #rows)
    assert.is_true(rows[1].version == version)
    assert.same({}, db:scan { from = 'zz' })
  end)

  it('scans row by row', function()
    local scan = assert(db:open_scan { from = 's', to = 't', page = 2 })
    assert.equal('s01', scan:next().key)
    assert.equal('s02', scan:next().key)
    assert.equal('s03', scan:next().key)
    scan:close()
    assert.is_nil(scan:next())
  end)

  it('commits batches, with an outcome for each write', function()
    local batch = assert(db:batch())
    assert.is_true(batch:put('b1', '1'))
    assert.is_true(batch:delete 'b0')
    assert.is_true(batch:cas_put('b2', 0, '2'))
    assert.is_true(batch:cas_put('b2', 77, '3'))
    local results = assert(batch:commit())
    assert.equal('OK', results[1].code)
    assert.equal('OK', results[2].code)
    assert.equal('OK', results[3].code)
    assert.equal('CONFLICT', results[4].code)
    assert.is_true(results[4].version == results[3].version)
    assert.equal('1', db:get 'b1')
    batch:clear()
    local none, err = batch:commit()
    assert.is_nil(none)
    assert.equal('INVALID_ARGUMENT', err.code)
  end)

  it('hands out timestamps that grow', function()
    local a, b = assert(db:tso(10)), assert(db:tso())
    assert.is_true(ffi.istype('uint64_t', a))
    assert.is_true(b >= a + 10)
  end)

  it('knows namespaces', function()
    local none, err = db:namespace 'nobody'
    assert.is_nil(none)
    assert.equal('NOT_FOUND', err.code)
    local users = assert(db:create_namespace 'users')
    assert(users:put('k', 'of users'))
    assert.is_nil(db:get 'k')
    assert.equal('of users', assert(db:namespace 'users'):get 'k')
  end)

  it('has many operations under way in a queue', function()
    local q = assert(db:queue())
    local seen, tags = 0, {}
    for i = 1, 500 do
      tags[i] = { i }
      assert(q:put('q' .. i, tostring(i), tags[i]))
    end
    assert.equal(500, q:pending())
    for done in q:each() do
      assert.is_nil(done.err)
      assert.equal('put', done.kind)
      assert.equal(tags[done.tag[1]], done.tag)
      seen = seen + 1
    end
    assert.equal(500, seen)
    assert(q:get('q7', 'a'))
    assert(q:get('absent', 'b'))
    assert(q:cas_put('q', 5, 'x', 'c'))
    assert(q:cas_put('qq', 0, 'x', 'd'))
    assert(q:tso(3, 'e'))
    local batch = db:batch()
    batch:put('q8', 'batched')
    assert(q:batch(batch, 'f'))
    local by = {}
    for done in q:each() do by[done.tag] = done end
    assert.equal('7', by.a.value)
    assert.is_nil(by.b.value)
    assert.is_nil(by.b.err)
    assert.equal('CONFLICT', by.c.err.code)
    assert.is_true(by.d.version > 0ULL)
    assert.is_true(by.e.first > 0ULL)
    assert.equal('OK', by.f.results[1].code)
    assert.equal('batched', db:get 'q8')
    assert.is_nil(q:next(0))
    q:close()
    assert.is_nil(q:next())
  end)

  it('answers nil and an error, and raises for wrong arguments', function()
    local none, err = flotilla.open { endpoint = '127.0.0.1:1', timeout_ms = 100 }
    assert.is_nil(none)
    assert.equal('UNAVAILABLE', err.code)
    assert.equal('retry_same', err.class)
    assert.matches('^UNAVAILABLE: could not connect', tostring(err))
    none, err = db:put('', 'v')
    assert.is_nil(none)
    assert.equal('INVALID_ARGUMENT', err.code)
    none, err = db:put(('k'):rep(5000), 'v')
    assert.is_nil(none)
    assert.equal('TOO_LARGE', err.code)
    assert.has_error(function() db:put(5, 'v') end)
    assert.has_error(function() db:put('k') end)
    assert.has_error(function() db:cas_put('k', 1.5, 'v') end)
    assert.has_error(function() db:cas_put('k', '1', 'v') end)
  end)

  it('frees what is forgotten, in any order', function()
    for _ = 1, 20 do
      local other = assert(flotilla.open { endpoint = node.endpoint })
      local scan, q = other:open_scan(), other:queue()
      scan:next()
      q:get('q1', 1)
      other:batch():put('x', 'y')
      other, scan, q = nil, nil, nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
    end
    local other = assert(flotilla.open { endpoint = node.endpoint })
    local scan, q = assert(other:open_scan()), assert(other:queue())
    other:close()
    assert.is_nil(scan:next())
    assert.is_nil(q:next())
    assert.has_error(function() other:get 'k' end)
  end)
end)
