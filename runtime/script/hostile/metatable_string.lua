-- attempts: poisons the strings of others through their metatable
-- expect: OK
assert(getmetatable('') == 'locked')
assert(not pcall(setmetatable, '', {}))
string.rep = function() return 'poison' end
assert(('x'):rep(3) == 'poison') -- its own state alone: the next one does not know
