-- attempts: __add that never returns
-- expect: BUDGET
local t = setmetatable({}, { __add = function() while true do end end })
return t + 1
