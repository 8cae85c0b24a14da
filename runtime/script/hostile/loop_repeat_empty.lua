-- attempts: a loop whose condition never holds
-- expect: BUDGET
repeat local x = 1 until x == 2
