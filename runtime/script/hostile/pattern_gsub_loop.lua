-- attempts: gsub whose replacement never returns
-- expect: BUDGET
return (('x'):gsub('x', function() while true do end end))
