-- attempts: a pattern that backtracks exponentially
-- expect: BUDGET
return ('a'):rep(32):find(('a-'):rep(32) .. 'b')
