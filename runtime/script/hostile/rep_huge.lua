-- attempts: string.rep of ten gigabytes
-- expect: SCRIPT
return #('x'):rep(1e10)
