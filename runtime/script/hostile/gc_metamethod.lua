-- attempts: __gc of a table: not run in this Lua; the loop is
-- expect: BUDGET
setmetatable({}, { __gc = function() while true do end end })
local t = {}
while true do t = { t } if #t > 9 then t = {} end end
