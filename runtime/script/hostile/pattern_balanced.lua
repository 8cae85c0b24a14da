-- attempts: %b over a long subject, from every place
-- expect: BUDGET
return ('('):rep(200000):find('%b()')
