-- Checks the arguments of an admin verb against its schema, before anything is done with them.
--
--   { { name = 'limit', type = 'integer', default = 100, min = 1, max = 1000, doc = '...' }, ... }
--
-- type: string, number, integer, boolean, u64 (a whole number, a u64, or decimal text), bytes. `required = true`: no default.

local args = {}

local function is_whole(x) return type(x) == 'number' and x == math.floor(x) and math.abs(x) <= 2 ^ 53 end

-- Answers the value as the verb will see it, or nil.
local convert = {
  string = function(x) return type(x) == 'string' and x or nil end,
  bytes = function(x) return type(x) == 'string' and x or nil end,
  boolean = function(x)
    if x == 'true' then return true end
    if x == 'false' then return false end
    if type(x) == 'boolean' then return x end
  end,
  number = function(x) return tonumber(x) end,
  integer = function(x)
    local n = tonumber(x)
    return is_whole(n) and n or nil
  end,
  u64 = function(x)
    local ok, id = pcall(u64, x)
    return ok and id or nil
  end,
}

local function check_one(option, given)
  local value = convert[option.type](given)
  if value == nil then
    return nil, ('%s must be of type %s, not %s'):format(option.name, option.type, tostring(given))
  end
  if option.min and value < option.min then return nil, ('%s must be at least %s'):format(option.name, tostring(option.min)) end
  if option.max and value > option.max then return nil, ('%s must be at most %s'):format(option.name, tostring(option.max)) end
  if option.choices then
    for _, choice in ipairs(option.choices) do
      if choice == value then return value end
    end
    return nil, ('%s must be one of: %s'):format(option.name, table.concat(option.choices, ', '))
  end
  return value
end

---@param schema table[]   a list of options
---@param given table?     what the caller wrote
---@return table? values   with defaults filled in; nil if something is wrong
---@return string? why
function args.check(schema, given)
  local values, known = {}, {}
  given = given or {}
  for _, option in ipairs(schema) do
    known[option.name] = true
    local x = given[option.name]
    if x == nil and option.required then return nil, option.name .. ' is missing: ' .. option.doc end
    if x == nil then
      values[option.name] = option.default
    else
      local value, why = check_one(option, x)
      if value == nil then return nil, why end
      values[option.name] = value
    end
  end
  for name in pairs(given) do
    if not known[name] then return nil, ("there is no argument '%s'"):format(tostring(name)) end
  end
  return values
end

return args
