-- attempts: swallows the violation by pcall, again and again
-- expect: BUDGET
while true do
  pcall(function() while true do end end)
end
