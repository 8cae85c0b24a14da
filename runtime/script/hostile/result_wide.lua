-- attempts: returns tables that share tables that share tables
-- expect: SCRIPT
local t = { 1, 2, 3, 4 }
for _ = 1, 25 do t = { t, t, t, t } end
return t
