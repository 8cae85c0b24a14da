-- attempts: table.concat with borders at the ends of the integers
-- expect: SCRIPT
return table.concat({}, 'x', -2147483647, 2147483647)
