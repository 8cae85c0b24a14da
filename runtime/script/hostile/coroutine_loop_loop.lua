-- attempts: resumes one endless coroutine after the other
-- expect: BUDGET
while true do
  coroutine.resume(coroutine.create(function() while true do end end))
end
