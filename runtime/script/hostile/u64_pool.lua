-- attempts: every u64 there is: the pool of interned ones keeps none alive
-- expect: BUDGET
local i = 0
while true do i = i + 1 local id = u64(i) end
