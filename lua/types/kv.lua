---@meta
-- What a policy sees, for editors (LuaLS). Nothing here is loaded by a node.

---@class kv.U64 an id, a version or a stamp: equal values are the same object; < and <= compare two of them
---@operator add(kv.U64|number): kv.U64
---@operator sub(kv.U64|number): kv.U64
---@operator mod(number): number

---@param x string|number|kv.U64 decimal digits, or a whole number up to 2^53
---@return kv.U64
function u64(x) end

---@class kv.Keys
---@field INF userdata the end of a range without end
keys = {}

---@class kv.Region
---@field id kv.U64
---@field conf_ver kv.U64
---@field version kv.U64
---@field start_key string
---@field end_key string|userdata keys.INF: no end
---@field bytes number
---@field keys number
---@field reads_per_s number
---@field writes_per_s number
---@field reads number since the node started
---@field writes number
---@field samples string[] keys, sorted
---@field leader kv.U64 the store of its leader

---@class kv.Store
---@field id kv.U64
---@field address string
---@field state string 'up'
---@field capacity_bytes number
---@field available_bytes number
---@field regions number
---@field leaders number

---@class kv.RegionFilter
---@field store? kv.U64|number those led by this store
---@field hot? number those with at least so many operations per second
---@field limit? number at most so many

---@class kv.View
---@field now number milliseconds since 1970: the only clock
---@field decision_id kv.U64 seeds math.random
---@field store_count number
---@field region_count number
local view = {}

---@return fun(): kv.Store?
function view:stores() end

---@param filter? kv.RegionFilter
---@return fun(): kv.Region?
function view:regions(filter) end

---@param id kv.U64|number
---@return kv.Region?
function view:region(id) end

---@class kv.Proposal
---@field kind 'split'|'move'|'merge'|'transfer_leader'
---@field region kv.U64|number|kv.Region
---@field key? string split: strictly inside the region
---@field from? kv.U64|number move: a store
---@field to? kv.U64|number move, transfer_leader: a store
---@field reason string 1 to 239 bytes

---@class kv.Param
---@field type 'number'|'integer'|'boolean'|'string'
---@field default any
---@field value? any what the node's config says instead: set by the node, read by lib/values.lua
---@field min? number
---@field max? number
---@field doc string

---@class kv.Policy
---@field api 1
---@field name string
---@field version string
---@field kind 'placement'
---@field params? table<string, kv.Param>
---@field plan fun(view: kv.View, params: table, state: table): kv.Proposal[]?, string|string[]|nil
---@field save? fun(state: table): table
---@field init? fun(params: table, saved: table?, from_version: string?): table
