-- attempts: recursion without end, caught, again and again
-- expect: BUDGET
local function f() return 1 + f() end
while true do pcall(f) end
