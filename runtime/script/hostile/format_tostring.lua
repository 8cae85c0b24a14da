-- attempts: %s of a table whose __tostring never returns
-- expect: BUDGET
return ('%s'):format(setmetatable({}, { __tostring = function() while true do end end }))
