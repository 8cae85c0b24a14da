-- attempts: returns one long string a thousand times over: it would be copied each time
-- expect: SCRIPT
local s, t = ('x'):rep(1e6), {}
for i = 1, 1000 do t[i] = s end
return t
