-- attempts: recursion without end
-- expect: SCRIPT
local function f() return 1 + f() end
return f()
