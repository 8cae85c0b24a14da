-- attempts: __tostring that calls tostring on itself
-- expect: SCRIPT
local t
t = setmetatable({}, { __tostring = function() return tostring(t) end })
return tostring(t)
