-- Splits a region by its number of keys, whatever their size. Try it:
--
--   flotilla policy check examples/policies/by_keys.lua
--   cp examples/policies/by_keys.lua lua/pd.lua      -- a node that watches lua/ takes it at once

local by_keys = {
  api = 1,
  name = 'by_keys',
  version = '1.0.0',
  kind = 'placement',
  params = {
    max_keys = { type = 'integer', default = 1000000, min = 100, doc = 'a region with more keys is split' },
  },
}

function by_keys.plan(view, params)
  local proposals = {}
  for region in view:regions() do
    local samples = region.samples
    local cut = samples[math.ceil(#samples / 2)]
    if region.keys > params.max_keys and cut and cut > region.start_key then
      proposals[#proposals + 1] = {
        kind = 'split', region = region, key = cut,
        reason = ('%.0f keys, over max_keys %.0f'):format(region.keys, params.max_keys),
      }
    end
  end
  return proposals
end

return by_keys
