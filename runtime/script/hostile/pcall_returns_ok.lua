-- attempts: catches the violation and then ends as if nothing had been
-- expect: BUDGET
pcall(function() while true do end end)
return "fine"
