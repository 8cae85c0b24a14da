-- attempts: the same, in pcall and a loop
-- expect: BUDGET
while true do pcall(string.find, ('a'):rep(200000), '.-.-.-b') end
