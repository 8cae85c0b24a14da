-- attempts: __index that never returns
-- expect: BUDGET
local t = setmetatable({}, { __index = function() while true do end end })
return t.x
