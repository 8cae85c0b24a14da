-- attempts: catches running out of memory and starts again
-- expect: BUDGET
while true do
  pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end)
end
