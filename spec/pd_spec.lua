local values_of = require 'lib.values'
local pd = require 'pd'

local function view_of(regions)
  return {
    now = 1000,
    regions = function()
      local i = 0
      return function()
        i = i + 1
        return regions[i]
      end
    end,
  }
end

local function region(id, bytes)
  return { id = u64(id), start_key = 'a', end_key = 'z', bytes = bytes, reads_per_s = 0, writes_per_s = 0, samples = { 'm' } }
end

describe('pd.plan', function()
  local params = values_of(pd.params)

  it('proposes to split what is too large, and says why the rest stays', function()
    local proposals, notes = pd.plan(view_of { region(1, 10), region(2, 1e12) }, params, {})
    assert.equal(1, #proposals)
    assert.same({ kind = 'split', region = u64(2), key = 'm', reason = proposals[1].reason }, proposals[1])
    assert.truthy(proposals[1].reason:find('over max_bytes', 1, true))
    assert.same({ 'region 1: within max_bytes and max_ops' }, notes)
  end)

  it('proposes nothing for nothing', function()
    local proposals, notes = pd.plan(view_of {}, params, {})
    assert.same({}, proposals)
    assert.same({}, notes)
  end)

  it('stops at proposals_max', function()
    local regions = {}
    for i = 1, 50 do regions[i] = region(i, 1e12) end
    local proposals = pd.plan(view_of(regions), { proposals_max = 3 }, {})
    assert.equal(3, #proposals)
  end)

  it('carries its count of plans across a reload', function()
    local state = pd.init(params, nil)
    pd.plan(view_of {}, params, state)
    pd.plan(view_of {}, params, state)
    assert.equal(2, pd.init(params, pd.save(state)).plans)
  end)
end)
