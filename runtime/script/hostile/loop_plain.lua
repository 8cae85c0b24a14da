-- attempts: an endless loop
-- expect: BUDGET
while true do end
