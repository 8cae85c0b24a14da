-- The first ten minutes: put, get, compare and swap, a scan.
--
--   luajit quickstart.lua [ENDPOINT]
local flotilla = require 'flotilla'

local db = assert(flotilla.open { endpoint = arg[1] })

assert(db:put('greeting', 'hello'))
print('greeting = ' .. assert(db:get 'greeting'))

-- Two who want the same seat: the version decides, and whoever loses is told who has it.
local version = assert(db:cas_put('seat', 0, 'ada'))
local _, err = db:cas_put('seat', 0, 'bob')
if err and err.code == 'CONFLICT' then print(('bob is too late: %s has it'):format(err.value)) end
assert(db:cas_delete('seat', version))

for i, fruit in ipairs { 'apple', 'banana', 'cherry' } do
  assert(db:put('fruit/' .. i, fruit))
end
for _, row in ipairs(assert(db:scan { from = 'fruit/', to = 'fruit0' })) do
  print(row.key, row.value)
end
db:close()
