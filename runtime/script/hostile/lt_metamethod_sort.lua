-- attempts: __lt that never returns, called by sort
-- expect: BUDGET
local mt = { __lt = function() while true do end end }
table.sort({ setmetatable({}, mt), setmetatable({}, mt) })
