-- attempts: a pattern that is cubic in a long subject
-- expect: BUDGET
return ('a'):rep(200000):find('.-.-.-b')
