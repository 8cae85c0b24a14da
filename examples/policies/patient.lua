-- Splits a region only if it was too large in several plans in a row: state, and how it crosses a reload.

local split = require 'split'
local values_of = require 'lib.values'

local patient = {
  api = 1,
  name = 'patient',
  version = '1.0.0',
  kind = 'placement',
  params = {
    patience = { type = 'integer', default = 5, min = 1, max = 1000, doc = 'plans in a row before anything is proposed' },
  },
}

function patient.plan(view, params, state)
  local proposals, notes = {}, {}
  local seen = {}
  for region in view:regions() do
    local id = tostring(region.id)
    local cut, why = split.decide(region, values_of(split.params))
    if cut then
      seen[id] = (state.seen[id] or 0) + 1
      if seen[id] >= params.patience then
        proposals[#proposals + 1] = { kind = 'split', region = region, key = cut, reason = why }
      else
        notes[#notes + 1] = ('region %s: %s, for %d of %d plans'):format(id, why, seen[id], params.patience)
      end
    end
  end
  state.seen = seen -- a region that is well again starts from zero
  return proposals, notes
end

function patient.save(state) return state end

function patient.init(_, saved) return { seen = saved and saved.seen or {} } end

return patient
