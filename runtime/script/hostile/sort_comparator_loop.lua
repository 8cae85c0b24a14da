-- attempts: a comparator that never returns
-- expect: BUDGET
table.sort({ 3, 2, 1 }, function() while true do end end)
