-- attempts: upper, lower, reverse of megabytes, for ever
-- expect: BUDGET
local s = ('x'):rep(3e6)
while true do s:upper() s:lower() s:reverse() end
