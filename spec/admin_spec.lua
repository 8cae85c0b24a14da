local admin = require 'admin'
local args = require 'lib.args'
local console = require 'console'

local function recorder(answers)
  local calls = {}
  return {
    calls = calls,
    call = function(name, arguments)
      calls[#calls + 1] = { name, arguments }
      return answers and answers[name]
    end,
  }
end

describe('args.check', function()
  local schema = {
    { name = 'name', type = 'string', required = true, doc = 'what it is called' },
    { name = 'limit', type = 'integer', default = 10, min = 1, max = 100, doc = 'how many' },
    { name = 'mode', type = 'string', choices = { 'a', 'b' }, doc = 'which' },
    { name = 'deep', type = 'boolean', doc = 'all of it' },
    { name = 'id', type = 'u64', doc = 'the region' },
  }

  it('fills in defaults', function() assert.same({ name = 'x', limit = 10 }, args.check(schema, { name = 'x' })) end)

  it('reads what a command line writes', function()
    local values = args.check(schema, { name = 'x', limit = '7', deep = 'false', id = '18446744073709551615' })
    assert.equal(7, values.limit)
    assert.is_false(values.deep)
    assert.equal(u64('18446744073709551615'), values.id)
  end)

  for _, case in ipairs {
    { {}, 'name is missing: what it is called' },
    { { name = 5 }, 'name must be of type string, not 5' },
    { { name = 'x', limit = 0 }, 'limit must be at least 1' },
    { { name = 'x', limit = 101 }, 'limit must be at most 100' },
    { { name = 'x', limit = 1.5 }, 'limit must be of type integer, not 1.5' },
    { { name = 'x', mode = 'c' }, 'mode must be one of: a, b' },
    { { name = 'x', deep = 'maybe' }, 'deep must be of type boolean, not maybe' },
    { { name = 'x', id = 'seven' }, 'id must be of type u64, not seven' },
    { { name = 'x', force = true }, "there is no argument 'force'" },
  } do
    it('says: ' .. case[2], function()
      local values, why = args.check(schema, case[1])
      assert.is_nil(values)
      assert.equal(case[2], why)
    end)
  end
end)

describe('admin', function()
  it('has a complete schema for every verb, and no name twice', function()
    local seen = {}
    local roles = { viewer = true, operator = true, author = true, admin = true }
    for _, verb in ipairs(admin.verbs) do
      assert.is_nil(seen[verb.name], verb.name)
      seen[verb.name] = true
      assert.truthy(verb.name:match('^[%l.]+$'), verb.name)
      assert.is_true(roles[verb.role], verb.name)
      assert.truthy(#verb.doc > 0 and verb.example:find(verb.name, 1, true), verb.name)
      assert.is_function(verb.run)
      for _, option in ipairs(verb.args) do
        assert.truthy(option.name and option.type and #option.doc > 0, verb.name)
      end
    end
    for _, name in ipairs { 'status', 'namespace.create', 'policy.reload', 'log.level', 'metrics', 'region.show' } do
      assert.is_true(seen[name], name)
    end
  end)

  it('checks arguments before it asks the node', function()
    local host = recorder()
    assert.has_error(function() admin.call('namespace.create', {}, host) end)
    assert.has_error(function() admin.call('log.tail', { lines = 0 }, host) end)
    assert.has_error(function() admin.call('no.such', {}, host) end, "there is no verb 'no.such': see help")
    assert.same({}, host.calls)
  end)

  it('asks with defaults filled in', function()
    local host = recorder { ['namespace.create'] = { id = 1 } }
    assert.same({ id = 1 }, admin.call('namespace.create', { name = 'orders' }, host))
    assert.same({ { 'namespace.create', { name = 'orders', mode = 'strong' } } }, host.calls)
  end)

  it('describes a verb', function()
    local help = admin.help('log.tail')
    assert.equal('operator', help.role)
    assert.equal('lines', help.arguments[1].name)
    assert.equal(#admin.verbs, #admin.help())
  end)
end)

describe('console', function()
  it('has every verb under admin', function()
    local host = recorder { ['namespace.list'] = { 'n' } }
    local globals = console.globals(host)
    assert.same({ 'n' }, globals.admin.namespace.list())
    assert.same({ 'n' }, globals.namespaces())
    for _, verb in ipairs(admin.verbs) do
      local at = globals.admin
      for word in verb.name:gmatch('[^.]+') do at = at[word] end
      assert.is_function(at)
    end
  end)

  it('passes a range on, or a key to begin with', function()
    local host = recorder()
    local globals = console.globals(host)
    globals.kv.scan { from = 'a', to = 'b', limit = 5 }
    globals.kv.scan 'c'
    globals.cas.get('k', 'ns')
    assert.same({
      { 'kv.scan', { from = 'a', to = 'b', limit = 5 } },
      { 'kv.scan', { from = 'c' } },
      { 'cas.get', { key = 'k', namespace = 'ns' } },
    }, host.calls)
  end)

  it('completes names, fields, verbs, arguments and topics', function()
    local globals = console.globals(recorder())
    local function words(line)
      local start, found = console.complete(line, globals)
      return table.concat(found, ' '), start
    end
    assert.equal('status(', (words('sta')))
    assert.equal('get( scan(', (words('print(kv.')))
    assert.equal('create(', (words('admin.namespace.cr')))
    assert.equal('lines = ', (words('admin.log.tail{li')))
    assert.equal('log.level log.tail', (words("help 'log.")))
    assert.equal('', (words('nothing.at.all')))
    local _, start = words('x = stat')
    assert.equal(4, start)
  end)
end)
