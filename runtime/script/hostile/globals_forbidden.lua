-- attempts: looks for what must not be there
-- expect: OK
local names = { 'io', 'os', 'package', 'debug', 'ffi', 'jit', 'load', 'loadstring', 'loadfile', 'dofile', 'newproxy',
  'collectgarbage', 'getfenv', 'setfenv', 'gcinfo', 'module', 'host' }
for _, name in ipairs(names) do assert(_G[name] == nil, name) end
assert(string.dump == nil and string.gfind == nil and table.foreach == nil and math.randomseed == nil)
for _, name in ipairs({ 'ffi', 'jit', 'os', 'io', 'debug', 'table.new' }) do assert(not pcall(require, name), name) end
