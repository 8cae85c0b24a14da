local values_of = require 'lib.values'

describe('lib.values', function()
  it('gives defaults where the config says nothing', function()
    assert.same({ n = 1, on = true }, values_of { n = { default = 1 }, on = { default = true } })
    assert.same({}, values_of(nil))
  end)

  it('gives what the config says, also false', function()
    assert.same({ n = 2, on = false }, values_of { n = { default = 1, value = 2 }, on = { default = true, value = false } })
  end)
end)
