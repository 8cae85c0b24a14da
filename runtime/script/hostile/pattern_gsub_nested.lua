-- attempts: gsub within gsub within gsub: C frames inside each other
-- expect: SCRIPT
local function f() return (('x'):gsub('x', f)) end
return f()
