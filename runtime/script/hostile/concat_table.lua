-- attempts: table.concat of two megabytes, a thousand times over
-- expect: BUDGET
local t = {}
for i = 1, 2000 do t[i] = ('x'):rep(1000) end
while true do table.concat(t) end
