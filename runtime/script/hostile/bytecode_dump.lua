-- attempts: makes bytecode and loads it
-- expect: SCRIPT
return loadstring(string.dump(function() end))
