-- attempts: tables in tables until memory ends
-- expect: BUDGET
local t = {}
while true do t = { t, t, t } end
