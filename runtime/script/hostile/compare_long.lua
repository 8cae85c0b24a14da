-- attempts: compares long strings that differ at the end
-- expect: BUDGET
-- instructions: 20000
local a, b = ('x'):rep(3e6) .. 'a', ('x'):rep(3e6) .. 'b'
local n = 0
while true do if a < b then n = n + 1 end end
