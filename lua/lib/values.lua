-- The value of every parameter in a schema: what the node's config says, else the default.
--   { max_bytes = { type = 'number', default = 1 } } gives { max_bytes = 1 }
return function(params)
  local values = {}
  for name, param in pairs(params or {}) do
    if param.value ~= nil then values[name] = param.value else values[name] = param.default end
  end
  return values
end
