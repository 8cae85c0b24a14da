-- Where to split a region: one question, answered from what the view knows about it.
--
-- A region is split when it holds too much or is asked too much. The cut is the middle of the sampled keys, so that
-- each half gets about the same; a cut must lie strictly inside the region, or one half would be empty.

local split = {
  api = 1,
  name = 'split',
  version = '1.0.0',
  kind = 'split',
  params = {
    max_bytes = { type = 'number', default = 64 * 1024 * 1024, min = 1024, doc = 'a region above this size is split' },
    max_ops = { type = 'number', default = 20000, min = 1, doc = 'reads and writes per second that one region should serve' },
    min_bytes = { type = 'number', default = 1024 * 1024, min = 0, doc = 'a region below this size is never split for its load' },
  },
}

-- The sample nearest to the middle that is strictly inside the region.
local function cut_of(region)
  local samples = region.samples
  local n = #samples
  local middle = math.ceil(n / 2)
  for distance = 0, n do
    for _, i in ipairs({ middle - distance, middle + distance }) do
      local key = samples[i]
      local inside = key and key > region.start_key and (region.end_key == keys.INF or key < region.end_key)
      if inside then return key end
    end
  end
end

---@param region kv.Region  a snapshot; time and chance would come in as arguments
---@param params table      max_bytes, max_ops, min_bytes
---@return string? cut      nil leaves the region whole
---@return string why       shown to people beside the decision
function split.decide(region, params)
  local ops = region.reads_per_s + region.writes_per_s
  local why
  if region.bytes > params.max_bytes then
    why = ('%.0f bytes, over max_bytes %.0f'):format(region.bytes, params.max_bytes)
  elseif ops > params.max_ops and region.bytes >= params.min_bytes then
    why = ('%.0f operations per second, over max_ops %.0f'):format(ops, params.max_ops)
  elseif ops > params.max_ops then
    return nil, 'busy, but below min_bytes'
  else
    return nil, 'within max_bytes and max_ops'
  end
  local cut = cut_of(region)
  if not cut then return nil, 'no key strictly inside' end
  return cut, why
end

return split
