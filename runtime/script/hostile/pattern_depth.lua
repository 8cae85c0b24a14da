-- attempts: a pattern that wants very deep recursion
-- expect: SCRIPT
return ('a'):rep(500):find(('a?'):rep(500) .. ('a'):rep(500))
