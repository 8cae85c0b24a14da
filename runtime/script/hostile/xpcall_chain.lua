-- attempts: handlers that enter xpcall again, as deep as it goes
-- expect: BUDGET
local function f() xpcall(error, f, 'x') end
while true do pcall(f) end
