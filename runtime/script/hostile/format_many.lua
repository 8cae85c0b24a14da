-- attempts: a format with a long literal, for ever
-- expect: BUDGET
local f = ('x'):rep(100000) .. '%d'
while true do f:format(1) end
