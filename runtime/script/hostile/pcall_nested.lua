-- attempts: swallows the violation by many pcalls inside each other
-- expect: BUDGET
local function f(n)
  if n > 0 then pcall(f, n - 1) end
  while true do end
end
f(50)
