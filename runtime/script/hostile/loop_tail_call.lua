-- attempts: endless tail calls, which need no stack
-- expect: BUDGET
local function f() return f() end
f()
