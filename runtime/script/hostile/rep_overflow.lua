-- attempts: string.rep whose length overflows
-- expect: SCRIPT
return #('xxxxxxxx'):rep(2^61)
