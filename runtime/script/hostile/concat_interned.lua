-- attempts: concatenates megabytes to a string that exists already: no memory is asked for
-- expect: BUDGET
-- instructions: 20000
local a = ('x'):rep(3e6)
local whole = a .. a
while true do local again = a .. a end
