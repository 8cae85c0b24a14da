-- attempts: puts a metatable on the globals, and goes on inside its own cage
-- expect: OK
setmetatable(_G, { __index = function(_, k) return k end, __newindex = function() error('no') end })
assert(os == 'os')
assert(not pcall(function() x = 1 end))
