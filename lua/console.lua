-- The console: what a person finds at the prompt, its help, and the completion of words.
--
-- Everything asks the node through host.call; nothing here can write a key. Admin verbs come from admin.lua.

local admin = require 'admin'

local console = { api = 1, name = 'console', version = '1.0.0', kind = 'console' }

-- name, arguments, doc; in the order in which help shows them.
local topics = {
  { 'status()', 'what this node is and how it is doing' },
  { 'namespaces()', 'the namespaces' },
  { "kv.get(key [, namespace])", 'a raw key' },
  { "kv.scan{from=, to=, limit=, namespace=}", 'raw keys in order' },
  { "cas.get(key [, namespace])", 'a versioned key: value and version' },
  { "cas.scan{from=, to=, limit=, namespace=}", 'versioned keys in order' },
  { 'region([id])', 'a region with its live statistics' },
  { 'regions()', 'all regions' },
  { "metrics([prefix])", 'the metrics' },
  { 'policies()', 'the scripts that run, by digest' },
  { 'plan()', 'what the placement policy said last, and why' },
  { 'proposals()', 'what it proposed, with reasons and verdicts' },
  { 'tso([count])', 'timestamps of the oracle' },
  { 'admin.<verb>{...}', "admin verbs: help 'admin'" },
  { "help([topic])", 'this; a verb by its name; admin' },
}

local function reader(host, family)
  return {
    get = function(key, namespace) return host.call(family .. '.get', { key = key, namespace = namespace }) end,
    scan = function(range)
      if type(range) == 'string' then range = { from = range } end
      range = range or {}
      return host.call(family .. '.scan', {
        from = range.from, to = range.to, limit = range.limit, namespace = range.namespace,
      })
    end,
  }
end

-- admin.namespace.create{...} for the verb 'namespace.create'.
local function verbs(host)
  local tree = {}
  for _, verb in ipairs(admin.verbs) do
    local at = tree
    local path = {}
    for word in verb.name:gmatch('[^.]+') do path[#path + 1] = word end
    for i = 1, #path - 1 do
      at[path[i]] = at[path[i]] or {}
      at = at[path[i]]
    end
    at[path[#path]] = function(arguments) return admin.call(verb.name, arguments, host) end
  end
  return tree
end

local function help(topic)
  if topic == 'admin' then return admin.help() end
  if topic then return admin.help(topic) end
  local rows = {}
  for _, entry in ipairs(topics) do rows[#rows + 1] = { call = entry[1], doc = entry[2] } end
  return rows
end

-- What a session's globals hold besides the sandbox.
function console.globals(host)
  return {
    status = function() return host.call('status') end,
    namespaces = function() return host.call('namespace.list') end,
    kv = reader(host, 'kv'),
    cas = reader(host, 'cas'),
    region = function(id) return host.call('region.show', { id = id }) end,
    regions = function() return host.call('region.list') end,
    metrics = function(prefix) return host.call('metrics', { prefix = prefix }) end,
    policies = function() return host.call('policy.list') end,
    plan = function() return host.call('plan.last') end,
    proposals = function() return host.call('plan.last').proposals end,
    tso = function(count) return host.call('tso', { count = count }) end,
    admin = verbs(host),
    help = help,
  }
end

local keywords = {
  'and', 'break', 'do', 'else', 'elseif', 'end', 'false', 'for', 'function', 'if', 'in', 'local', 'nil', 'not', 'or',
  'repeat', 'return', 'then', 'true', 'until', 'while',
}

-- Words that could follow: names in a table that begin with `prefix`.
local function names_in(scope, prefix, words)
  for name, value in pairs(scope) do
    local fits = type(name) == 'string' and name:sub(1, #prefix) == prefix and name:match('^[%a_][%w_]*$')
    if fits then words[#words + 1] = name .. (type(value) == 'function' and '(' or '') end
  end
end

-- Inside admin.<verb>{...} the arguments of the verb.
local function arguments_of(line, prefix, words)
  local name = line:match('admin%.([%w_.]+)%s*%(?%s*{[^{}]*$')
  for _, verb in ipairs(admin.verbs) do
    if verb.name == name then
      for _, option in ipairs(verb.args) do
        if option.name:sub(1, #prefix) == prefix then words[#words + 1] = option.name .. ' = ' end
      end
    end
  end
end

-- Inside help '...' the topics.
local function topics_of(line, words)
  local prefix = line:match("help%s*%(?%s*['\"]([%w_.]*)$")
  if not prefix then return nil end
  for _, verb in ipairs(admin.verbs) do
    if verb.name:sub(1, #prefix) == prefix then words[#words + 1] = verb.name end
  end
  return #line - #prefix
end

---@param line string     up to the cursor
---@param globals table   the session's
---@return integer start  where the word to complete begins, from 0
---@return string[] words
function console.complete(line, globals)
  local words = {}
  local start = topics_of(line, words)
  if start then return start, words end
  local path, prefix = line:match('([%a_][%w_.]*)[.:]([%w_]*)$')
  prefix = prefix or line:match('[%w_]*$')
  local scope = globals
  for name in (path or ''):gmatch('[^.]+') do
    scope = type(scope) == 'table' and rawget(scope, name) or nil
  end
  if type(scope) == 'table' then names_in(scope, prefix, words) end
  if not path then
    arguments_of(line, prefix, words)
    for _, word in ipairs(keywords) do
      if prefix ~= '' and word:sub(1, #prefix) == prefix then words[#words + 1] = word end
    end
  end
  table.sort(words)
  return #line - #prefix, words
end

return console
