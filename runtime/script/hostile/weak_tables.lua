-- attempts: weak tables that fill and empty
-- expect: BUDGET
local t = setmetatable({}, { __mode = 'kv' })
local i = 0
while true do i = i + 1 t[i] = {} end
