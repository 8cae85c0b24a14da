-- attempts: string.rep of a megabyte, for ever
-- expect: BUDGET
while true do local s = ('x'):rep(1e6) end
