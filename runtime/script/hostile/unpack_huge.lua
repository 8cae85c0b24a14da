-- attempts: unpack of more values than a stack holds
-- expect: SCRIPT
return select("#", unpack({}, 1, 1e6))
