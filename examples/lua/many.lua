-- Many operations under way at once: a queue. Outcomes come in any order, each with the tag of its operation.
--
--   luajit many.lua [ENDPOINT [COUNT]]
local flotilla = require 'flotilla'

local WINDOW = 200
local count = tonumber(arg[2]) or 10000
local db = assert(flotilla.open { endpoint = arg[1] })
local q = assert(db:queue())
local sent, done, failed = 0, 0, 0

while done < count do
  while sent < count and q:pending() < WINDOW do
    sent = sent + 1
    assert(q:put(('many/%07d'):format(sent), 'value ' .. sent, sent))
  end
  local outcome = q:next()
  done = done + 1
  if outcome.err then
    failed = failed + 1
    if outcome.err.class == 'undetermined' then print(('write %d: look before you repeat it'):format(outcome.tag)) end
  end
end
print(('%d writes, %d failed'):format(done, failed))
q:close()
db:close()
