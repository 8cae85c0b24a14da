-- Proposes nothing, and says so: for the time in which people do not want anything to move.

return {
  api = 1,
  name = 'hold',
  version = '1.0.0',
  kind = 'placement',
  plan = function(view)
    return {}, ('holding %.0f regions on %.0f stores'):format(view.region_count, view.store_count)
  end,
}
