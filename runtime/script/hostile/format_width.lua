-- attempts: a format that wants a width of a billion
-- expect: SCRIPT
return ('%999999999d'):format(1)
