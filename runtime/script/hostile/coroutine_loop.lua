-- attempts: an endless loop in a coroutine: the hook is there too
-- expect: BUDGET
local c = coroutine.create(function() while true do end end)
coroutine.resume(c)
return "escaped"
