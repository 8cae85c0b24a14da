-- attempts: a table that grows until memory ends
-- expect: BUDGET
local t = {}
for i = 1, 1e12 do t[i] = i end
