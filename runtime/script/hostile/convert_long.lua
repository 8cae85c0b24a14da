-- attempts: makes a number of a long string, by arithmetic
-- expect: BUDGET
-- instructions: 20000
local s = ('0'):rep(3e6) .. '1'
local n = 0
while true do n = n + s end
