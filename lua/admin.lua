-- Admin verbs: one registry for the command line, the console, its completion and its help.
--
-- A verb is { name, role, args, doc, example, run }. Its arguments are checked against `args` (lib/args.lua) before
-- run(arguments, host) is called; `host.call(name, arguments)` asks the node. A new verb needs no change anywhere else.

local args = require 'lib.args'

local admin = { api = 1, name = 'admin', version = '1.0.0', kind = 'admin', verbs = {} }

local by_name = {}

local function verb(definition)
  admin.verbs[#admin.verbs + 1] = definition
  by_name[definition.name] = definition
end

-- Most verbs ask the node one question, under their own name.
local function ask(name)
  return function(arguments, host) return host.call(name, arguments) end
end

verb {
  name = 'help', role = 'viewer', doc = 'Lists the admin verbs, or describes one.', example = 'help verb=region.show',
  args = { { name = 'verb', type = 'string', doc = 'the verb to describe' } },
  run = function(arguments) return admin.help(arguments.verb) end,
}

verb {
  name = 'status', role = 'viewer', doc = 'What this node is and how it is doing.', example = 'status',
  args = {}, run = ask 'status',
}

verb {
  name = 'metrics', role = 'viewer', doc = 'The metrics, as /metrics shows them.', example = 'metrics prefix=flotilla_wal',
  args = { { name = 'prefix', type = 'string', default = '', doc = 'only names that begin like this' } },
  run = ask 'metrics',
}

verb {
  name = 'namespace.list', role = 'viewer', doc = 'The namespaces.', example = 'namespace.list',
  args = {}, run = ask 'namespace.list',
}

verb {
  name = 'namespace.create', role = 'admin', doc = 'Makes a namespace.', example = 'namespace.create name=orders mode=strong',
  args = {
    { name = 'name', type = 'string', required = true, doc = 'what it is called' },
    { name = 'mode', type = 'string', default = 'strong', choices = { 'strong' }, doc = 'how its writes are ordered' },
  },
  run = ask 'namespace.create',
}

verb {
  name = 'region.list', role = 'viewer', doc = 'The regions and their live statistics.', example = 'region.list',
  args = {}, run = ask 'region.list',
}

verb {
  name = 'region.show', role = 'viewer', doc = 'One region: range, epoch, size, load.', example = 'region.show id=1',
  args = { { name = 'id', type = 'u64', doc = 'the region; the only one if left out' } },
  run = ask 'region.show',
}

verb {
  name = 'policy.list', role = 'viewer', doc = 'The scripts that run: source, digest, policies, the last refusal.',
  example = 'policy.list', args = {}, run = ask 'policy.list',
}

verb {
  name = 'policy.reload', role = 'author', doc = 'Reads the scripts again; a bad one changes nothing.',
  example = 'policy.reload', args = {},
  run = function(_, host)
    local answer = host.call('policy.reload')
    local bundle = host.call('policy.list')
    return { changed = answer.changed, digest = bundle.digest, source = bundle.source, generation = bundle.generation }
  end,
}

verb {
  name = 'plan.last', role = 'viewer', doc = 'What the placement policy said last: proposals with reasons, notes.',
  example = 'plan.last', args = {}, run = ask 'plan.last',
}

verb {
  name = 'config.show', role = 'viewer', doc = 'Every option as it is in force.', example = 'config.show',
  args = {}, run = ask 'config.show',
}

verb {
  name = 'log.level', role = 'operator', doc = 'Shows the level of the log, or sets it.', example = 'log.level level=debug',
  args = {
    { name = 'level', type = 'string', choices = { 'trace', 'debug', 'info', 'warn', 'error' }, doc = 'the least level that is written' },
  },
  run = ask 'log.level',
}

verb {
  name = 'log.tail', role = 'operator', doc = 'The last lines of the log.', example = 'log.tail lines=50',
  args = { { name = 'lines', type = 'integer', default = 20, min = 1, max = 1000, doc = 'how many' } },
  run = ask 'log.tail',
}

local function describe_args(schema)
  local words = {}
  for _, option in ipairs(schema) do
    local word = option.name .. '=' .. option.type
    words[#words + 1] = option.required and word or '[' .. word .. ']'
  end
  return table.concat(words, ' ')
end

---@param name string?  all verbs if nil
function admin.help(name)
  if not name then
    local rows = {}
    for _, v in ipairs(admin.verbs) do
      rows[#rows + 1] = { verb = v.name, arguments = describe_args(v.args), role = v.role, doc = v.doc }
    end
    return rows
  end
  local v = by_name[name]
  if not v then error(("there is no verb '%s': see help"):format(name), 0) end
  local options = {}
  for _, option in ipairs(v.args) do
    options[#options + 1] = { name = option.name, type = option.type, default = option.default, doc = option.doc,
      required = option.required or false }
  end
  return { verb = v.name, role = v.role, doc = v.doc, example = v.example, arguments = options }
end

---@param name string
---@param given table?  arguments by name
---@param host table    host.call asks the node
function admin.call(name, given, host)
  local v = by_name[name]
  if not v then error(("there is no verb '%s': see help"):format(name), 0) end
  local arguments, why = args.check(v.args, given)
  if not arguments then error(('%s: %s'):format(name, why), 0) end
  return v.run(arguments, host)
end

return admin
