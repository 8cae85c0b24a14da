-- What the sandbox adds to Lua, in short, for specs that run outside of it. The sandbox itself is tested in C
-- (runtime/script/state_test.c); policies run in it in host_test.c.
keys = { INF = setmetatable({}, { __tostring = function() return 'keys.INF' end }) }

local pool = {}
function u64(x)
  local text = type(x) == 'number' and ('%.0f'):format(x) or x
  assert(type(text) == 'string' and text:match('^%d+$') and #text <= 20, 'u64')
  pool[text] = pool[text] or setmetatable({}, { __tostring = function() return text end })
  return pool[text]
end
