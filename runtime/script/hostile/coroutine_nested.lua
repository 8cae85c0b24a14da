-- attempts: a coroutine in a coroutine in a coroutine
-- expect: SCRIPT
local function f() return coroutine.wrap(f)() end
return f()
