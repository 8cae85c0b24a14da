-- attempts: thousands of arguments, again and again
-- expect: BUDGET
local t = {}
for i = 1, 6000 do t[i] = i end
while true do select("#", unpack(t)) end
