-- attempts: a comparator that empties the list meanwhile
-- expect: OK
local t = {}
for i = 1, 200 do t[i] = i end
table.sort(t, function(a, b)
  for i = 1, 200 do t[i] = nil end
  return a < b
end)
return #t
