-- The placement policy: looks at a view of the cluster and proposes. One question a file; this one asks them in order.
--
-- Lua proposes, C disposes: every proposal is checked against the view, logged with its reason, and may be refused.

local values_of = require 'lib.values'
local split = require 'split'

local pd = {
  api = 1,
  name = 'pd',
  version = '1.0.0',
  kind = 'placement',
  params = {
    proposals_max = { type = 'integer', default = 16, min = 1, max = 1000, doc = 'proposals of one plan' },
  },
}

---@param view kv.View      immutable; its `now` is the only clock
---@param params table      the options above, as configured
---@param state table       kept between plans of the same bundle
---@return kv.Proposal[] proposals
---@return string[] notes   for people: why a region was left as it is
function pd.plan(view, params, state)
  local split_params = values_of(split.params)
  local proposals, notes = {}, {}
  for region in view:regions() do
    local cut, why = split.decide(region, split_params)
    if cut and #proposals < params.proposals_max then
      proposals[#proposals + 1] = { kind = 'split', region = region.id, key = cut, reason = why }
    else
      notes[#notes + 1] = ('region %s: %s'):format(tostring(region.id), why)
    end
  end
  state.plans = (state.plans or 0) + 1
  return proposals, notes
end

-- State crosses a reload only through these two.
function pd.save(state) return { plans = state.plans } end

function pd.init(_, saved) return { plans = saved and saved.plans or 0 } end

return pd
