-- attempts: gmatch over empty matches of a long string, for ever
-- expect: BUDGET
local s = ('x'):rep(100000)
while true do for _ in s:gmatch('') do end end
