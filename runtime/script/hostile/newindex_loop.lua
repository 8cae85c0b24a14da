-- attempts: __newindex that never returns
-- expect: BUDGET
local t = setmetatable({}, { __newindex = function() while true do end end })
t.x = 1
