-- attempts: closures until memory ends
-- expect: BUDGET
local list = {}
while true do list[#list + 1] = function() return list end end
