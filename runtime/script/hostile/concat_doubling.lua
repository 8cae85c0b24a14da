-- attempts: a string that doubles until memory ends
-- expect: BUDGET
local s = 'x'
while true do s = s .. s end
