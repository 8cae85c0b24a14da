-- attempts: a comparison chain of long equal strings via concatenation
-- expect: BUDGET
-- instructions: 20000
local a = ('ab'):rep(1e6)
while true do local _ = (a .. 'x') == (a .. 'y') end
