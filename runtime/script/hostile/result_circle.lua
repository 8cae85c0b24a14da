-- attempts: returns a table that contains itself
-- expect: SCRIPT
local t = {}
t.t = t
return t
