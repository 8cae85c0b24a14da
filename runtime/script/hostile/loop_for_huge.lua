-- attempts: a numeric loop of 10^15 rounds
-- expect: BUDGET
for i = 1, 1e15 do end
