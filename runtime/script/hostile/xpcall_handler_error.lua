-- attempts: an error handler that fails by itself, without end
-- expect: SCRIPT
local function h() error(setmetatable({}, { __tostring = h })) end
xpcall(function() error('x') end, h)
