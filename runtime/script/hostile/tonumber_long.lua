-- attempts: makes a number of a long string, by tonumber
-- expect: BUDGET
local s = ('0'):rep(3e6) .. '1'
while true do tonumber(s) end
