-- attempts: replaces pcall, error and tostring by its own
-- expect: BUDGET
pcall, error, tostring = function() return true end, function() end, function() return "x" end
while true do pcall() end
