local values_of = require 'lib.values'
local split = require 'split'

local function region(with)
  local r = { id = 1, start_key = 'a', end_key = 'z', bytes = 0, reads_per_s = 0, writes_per_s = 0, samples = { 'c', 'k', 'x' } }
  for name, value in pairs(with) do r[name] = value end
  return r
end

describe('split.decide', function()
  local params = { max_bytes = 1000, max_ops = 100, min_bytes = 10 }

  it('leaves a region alone that is exactly at its limits', function()
    local cut, why = split.decide(region { bytes = 1000, reads_per_s = 60, writes_per_s = 40 }, params)
    assert.is_nil(cut)
    assert.equal('within max_bytes and max_ops', why)
  end)

  it('cuts in the middle of the samples, one byte above', function()
    local cut, why = split.decide(region { bytes = 1001 }, params)
    assert.equal('k', cut)
    assert.equal('1001 bytes, over max_bytes 1000', why)
  end)

  it('cuts a busy region, but not a busy and tiny one', function()
    assert.equal('k', split.decide(region { bytes = 10, reads_per_s = 101 }, params))
    local cut, why = split.decide(region { bytes = 9, reads_per_s = 101 }, params)
    assert.is_nil(cut)
    assert.equal('busy, but below min_bytes', why)
  end)

  it('never cuts at the start key, even when it is the only sample', function()
    local cut, why = split.decide(region { bytes = 2000, samples = { 'a' } }, params)
    assert.is_nil(cut)
    assert.equal('no key strictly inside', why)
  end)

  it('never cuts at or behind the end key', function()
    assert.is_nil((split.decide(region { bytes = 2000, samples = { 'z', 'zz' } }, params)))
  end)

  it('takes the nearest sample inside when the middle one is not', function()
    assert.equal('b', split.decide(region { bytes = 2000, samples = { 'a', 'a', 'a', 'b', 'c' } }, params))
  end)

  it('knows a range without end', function()
    assert.equal('zz', split.decide(region { bytes = 2000, end_key = keys.INF, samples = { 'zz' } }, params))
  end)

  it('has no cut without samples', function()
    assert.is_nil((split.decide(region { bytes = 2000, samples = {} }, params)))
  end)

  it('gives a cut strictly inside for any region, or a reason', function()
    math.randomseed(7)
    for _ = 1, 2000 do
      local samples = {}
      for i = 1, math.random(0, 9) do samples[i] = string.char(math.random(97, 122)) end
      table.sort(samples)
      local r = region { bytes = math.random(0, 2000), samples = samples, start_key = 'f', end_key = 'p' }
      local cut, why = split.decide(r, params)
      assert.is_true(#why > 0 and #why < 240)
      if cut then assert.is_true(cut > 'f' and cut < 'p') end
    end
  end)

  it('has defaults for all its parameters', function()
    local values = values_of(split.params)
    assert.equal(64 * 1024 * 1024, values.max_bytes)
    assert.is_number(values.max_ops)
    assert.is_number(values.min_bytes)
  end)
end)
