-- attempts: returns tables nested deeper than anybody reads
-- expect: SCRIPT
local t = {}
for _ = 1, 1000 do t = { t } end
return t
