-- attempts: changes what a u64 is
-- expect: OK
local id = u64(7)
assert(getmetatable(id) == 'u64')
assert(not pcall(setmetatable, id, {}))
assert(not pcall(function() id.x = 1 end))
assert(not pcall(rawset, id, 'x', 1))
assert(id == u64('7') and not pcall(function() return id < 8 end))
