-- attempts: an error object whose __tostring never returns
-- expect: BUDGET
error(setmetatable({}, { __tostring = function() while true do end end }))
