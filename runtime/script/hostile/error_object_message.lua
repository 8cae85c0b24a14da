-- attempts: an error object whose fields are asked for
-- expect: SCRIPT
error(setmetatable({}, { __index = function() while true do end end }))
