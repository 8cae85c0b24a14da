-- tidy: what the compiler cannot check about the tree. Runs as a test; prints one line a finding.
--
--   luajit tools/tidy.lua [SOURCE_DIR]
--
-- Every rule is a function over a file (or the list of files) that reports with `bad(path, line, text)`.

local root = arg[1] or '.'
local findings = 0

local function bad(path, line, text)
  findings = findings + 1
  print(('%s:%d: %s'):format(path, line or 1, text))
end

local function run(command)
  local pipe = assert(io.popen(command))
  local out = pipe:read('*a')
  pipe:close()
  return out
end

local function read(path)
  local file = io.open(root .. '/' .. path, 'rb')
  if not file then return nil end
  local text = file:read('*a')
  file:close()
  return text
end

-- Tracked files and new ones that are not ignored; a file deleted in the work tree is no file.
local function tree()
  local out = run(('cd %q && git ls-files --cached --others --exclude-standard 2>/dev/null'):format(root))
  local files = {}
  for path in out:gmatch('[^\n]+') do
    local text = read(path)
    if text then files[#files + 1] = { path = path, text = text } end
  end
  table.sort(files, function(a, b) return a.path < b.path end)
  return files
end

local function lines(text)
  local n = 0
  return coroutine.wrap(function()
    for line in (text .. '\n'):gmatch('(.-)\n') do
      n = n + 1
      coroutine.yield(n, line)
    end
  end)
end

local function is_c(path) return path:match('%.[ch]$') ~= nil end

-- Third-party headers have one home each (design: "The house").
local homes = {
  { '^uv%.h$', { '^runtime/uv/', '^client/uv', '^bench/' } },
  { '^rocksdb/', { '^runtime/storage/engine_rocks[^/]*%.c$', '^bench/' } },
  { '^sodium', { '^runtime/base/sign[^/]*%.c$', '^runtime/base/digest[^/]*%.c$', '^runtime/net/seal[^/]*%.c$' } },
  { '^lua%.h$', { '^runtime/script/' } },
  { '^lauxlib%.h$', { '^runtime/script/' } },
  { '^lualib%.h$', { '^runtime/script/' } },
  { '^microhttpd%.h$', { '^runtime/node/http%.c$' } },
  { '^histedit%.h$', { '^cli/' } },
  { '^xxhash%.h$', { '^runtime/base/' } },
}

local function check_includes(file)
  for n, line in lines(file.text) do
    local angled = line:match('^%s*#%s*include%s*<([^>]+)>')
    if angled then
      for _, home in ipairs(homes) do
        if angled:match(home[1]) then
          local at_home = false
          for _, place in ipairs(home[2]) do at_home = at_home or file.path:match(place) end
          if not at_home then bad(file.path, n, ('<%s> is included outside of its home'):format(angled)) end
        end
      end
    end
    local quoted = line:match('^%s*#%s*include%s*"([^"]+)"')
    if quoted and (quoted:match('%.%./') or quoted:match('^runtime/')) then
      bad(file.path, n, ('"%s": include "layer/face.h", or a file of this folder by its name'):format(quoted))
    end
  end
end

local function check_header(file)
  if not file.path:match('%.h$') then return end
  if not file.text:match('#pragma once') then bad(file.path, 1, 'a header begins with #pragma once') end
end

-- A name is an address: what runtime/<layer>/<file>.h declares begins with the file's or the layer's name.
-- A second address, for the few faces whose functions carry the noun of the design instead.
local also = {
  ['runtime/node/config_schema.h'] = { 'config' },
  ['runtime/base/codec.h'] = { 'load', 'put', 'store', 'take', 'varint' },
  ['runtime/base/buf.h'] = { 'bytes' }, ['runtime/storage/store.h'] = { 'storage' },
  ['runtime/storage/command.h'] = { 'storage' }, ['runtime/uv/world.h'] = { 'world' },
}
local function check_names(file)
  local layer, stem = file.path:match('^runtime/([%w_]+)/([%w_]+)%.h$')
  if not layer or stem:match('_rig$') then return end -- rigs are the tests' own
  local ok = { layer, (stem:gsub('_int$', '')) }
  for _, more in ipairs(also[file.path] or {}) do ok[#ok + 1] = more end
  for n, line in lines(file.text) do
    -- A declaration at the margin: words, maybe stars, a name, an opening parenthesis.
    local name = line:match('^[%a_][%w_%s%*]-[%s%*]([%a_][%w_]*)%s*%(')
    if name and not line:match('^%s*#') and not line:match('typedef') and not line:match('^return')
      and not line:match('__attribute__') and name:match('^%l') then
      local found = false
      for _, prefix in ipairs(ok) do
        found = found or name:sub(1, #prefix + 1) == prefix .. '_' or name == prefix
      end
      if not found then
        bad(file.path, n, ('%s() should begin with %s_'):format(name, table.concat(ok, '_ or ')))
      end
    end
  end
end

local limit = 900
local function check_size(file)
  if not (is_c(file.path) or file.path:match('%.lua$') or file.path:match('%.sh$')) then return end
  local _, count = file.text:gsub('\n', '')
  if count > limit then bad(file.path, count, ('%d lines: more than %d is more than one thought'):format(count, limit)) end
end

-- Words that promise later work, and paths of somebody's machine. Spelled in halves, so that this file passes.
local forbidden = { 'TO' .. 'DO', 'FIX' .. 'ME', 'XX' .. 'X:', '/wo' .. 'rk/', '/tm' .. 'p/w/', '/home' .. '/%l+/' }
local function check_words(file)
  if file.text:find('\0', 1, true) or file.path:match('^fuzz/corpus/') then return end
  for n, line in lines(file.text) do
    for _, word in ipairs(forbidden) do
      if line:match(word) then bad(file.path, n, ('"%s" does not belong in the tree'):format(word)) end
    end
    local columns = #line:gsub('[\128-\191]', '')
    local text_row = line:match('^%s*{?%s*"') -- a literal that would only be harder to read in pieces
    if is_c(file.path) and columns > 120 and not text_row then bad(file.path, n, ('%d columns'):format(columns)) end
    if line:match('[ \t]$') and (is_c(file.path) or file.path:match('%.lua$')) then
      bad(file.path, n, 'white space at the end of the line')
    end
  end
end

-- Every layer explains itself.
local function check_readmes(files)
  local have, layers = {}, {}
  for _, file in ipairs(files) do
    have[file.path] = true
    local dir = file.path:match('^(runtime/[%w_]+)/') or file.path:match('^(sim/[%w_]+)/')
    if not dir then
      local top = file.path:match('^([%w_]+)/')
      if top and (top == 'proto' or top == 'client' or top == 'cli' or top == 'fuzz' or top == 'bench') then dir = top end
    end
    if dir then layers[dir] = true end
  end
  for dir in pairs(layers) do
    if not have[dir .. '/README.md'] then bad(dir .. '/README.md', 1, 'a layer has a README.md') end
  end
  for _, path in ipairs { 'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE' } do
    if not have[path] then bad(path, 1, 'is missing') end
  end
end

-- Links in Markdown lead somewhere.
local function check_links(file)
  if not file.path:match('%.md$') then return end
  local dir = file.path:match('^(.*)/[^/]*$') or '.'
  for n, line in lines(file.text) do
    for target in line:gmatch('%]%(([^)#%s]+)[^)]*%)') do
      if not target:match('^%a+:') and not read(dir .. '/' .. target) then
        local is_dir = os.execute(('test -d %q'):format(root .. '/' .. dir .. '/' .. target))
        if is_dir ~= 0 and is_dir ~= true then bad(file.path, n, ('link to "%s", which is not there'):format(target)) end
      end
    end
  end
end

local function check_format(files)
  local list = {}
  for _, file in ipairs(files) do
    if is_c(file.path) then list[#list + 1] = file.path end
  end
  if run('command -v clang-format') == '' then
    print('SKIP: clang-format is not installed')
    return
  end
  for at = 1, #list, 40 do
    local some = table.concat(list, ' ', at, math.min(at + 39, #list))
    local out = run(('cd %q && clang-format --dry-run %s 2>&1'):format(root, some))
    if out:match('Error reading') then bad('.clang-format', 1, out:match('[^\n]+')) end
    local seen = {}
    for path, n in out:gmatch('([^\n:]+):(%d+):%d+: warning: code should be clang%-formatted') do
      if not seen[path] then bad(path, tonumber(n), 'is not as clang-format leaves it (make format)') end
      seen[path] = true
    end
  end
end

local function check_luacheck(files)
  local any = false
  for _, file in ipairs(files) do any = any or file.path == '.luacheckrc' end
  if not any then return end
  local out = run(('cd %q && luacheck -q --no-color lua client/lua spec config examples tools 2>&1'):format(root))
  for path, n, text in out:gmatch('%s*([^\n:%s]+%.lua):(%d+):%d+: ([^\n]+)') do bad(path, tonumber(n), text) end
end

local files = tree()
for _, file in ipairs(files) do
  if is_c(file.path) then
    check_includes(file)
    check_header(file)
    check_names(file)
  end
  check_size(file)
  check_words(file)
  check_links(file)
end
check_readmes(files)
check_format(files)
check_luacheck(files)

if findings > 0 then
  print(('tidy: %d findings in %d files'):format(findings, #files))
  os.exit(1)
end
print(('tidy: %d files, nothing to say'):format(#files))
