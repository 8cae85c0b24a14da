-- attempts: every level catches the violation of the next and goes on looping
-- expect: BUDGET
local function f() pcall(f) while true do end end
f()
