-- attempts: gsub that makes a long string longer, again and again
-- expect: BUDGET
local s = 'x'
while true do s = s:gsub('x', 'xx') end
