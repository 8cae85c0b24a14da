-- attempts: an error handler that never returns
-- expect: BUDGET
xpcall(function() error('x') end, function() while true do end end)
