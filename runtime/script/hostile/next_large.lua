-- attempts: next over a large table, key by key: quadratic
-- expect: BUDGET
local t = {}
for i = 1, 50000 do t["k" .. i] = i end
local k
repeat k = next(t, k) until k == nil
