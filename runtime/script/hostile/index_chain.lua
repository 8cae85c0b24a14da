-- attempts: an __index chain that is a circle
-- expect: SCRIPT
local a, b = {}, {}
setmetatable(a, { __index = b })
setmetatable(b, { __index = a })
return a.x
