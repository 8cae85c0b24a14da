-- The default of every parameter in a schema: { max_bytes = { type = 'number', default = 1 } } gives { max_bytes = 1 }.
return function(params)
  local values = {}
  for name, param in pairs(params or {}) do values[name] = param.default end
  return values
end
