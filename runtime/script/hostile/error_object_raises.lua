-- attempts: an error object whose __tostring raises
-- expect: SCRIPT
error(setmetatable({}, { __tostring = function() error('again') end }))
