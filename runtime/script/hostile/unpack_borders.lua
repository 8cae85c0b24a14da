-- attempts: unpack from the least to the largest integer
-- expect: SCRIPT
return unpack({}, -2147483648, 2147483647)
