-- mutate: a copy of a source folder with one known bug in it.
--
--   luajit tools/mutate.lua MUTATION.txt SOURCE_DIR OUT_DIR      copies the .c and .h files, changes one
--   luajit tools/mutate.lua --list DIR                           name, and what it breaks
--
-- A mutation is a text:   # what it breaks        The old text must stand in the file exactly once: a mutation that no
--                         file: leader.c          longer applies is an error, never a pass.
--                         <<<<
--                         old lines
--                         ====
--                         new lines
--                         >>>>

local function read(path)
  local file = assert(io.open(path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

local function parse(path)
  local text = read(path)
  local why, name, old, new = text:match('^# ([^\n]*)\nfile: ([^\n]*)\n<<<<\n(.-)\n====\n(.-)\n?>>>>\n$')
  if not why then error(path .. ': is not a mutation (see tools/mutate.lua)', 0) end
  return { why = why, file = name, old = old, new = new }
end

local function files(dir, pattern)
  local list = {}
  local pipe = io.popen(('ls %q'):format(dir))
  for name in pipe:lines() do
    if name:match(pattern) then list[#list + 1] = name end
  end
  pipe:close()
  return list
end

if arg[1] == '--list' then
  for _, name in ipairs(files(arg[2], '%.txt$')) do
    print(name:gsub('%.txt$', '') .. '\t' .. parse(arg[2] .. '/' .. name).why)
  end
  return
end

local mutation, from, to = parse(arg[1]), arg[2], arg[3]
os.execute(('mkdir -p %q'):format(to))
for _, name in ipairs(files(from, '%.[ch]$')) do
  local text = read(from .. '/' .. name)
  if name == mutation.file then
    local at, last = text:find(mutation.old, 1, true)
    if not at or text:find(mutation.old, last + 1, true) then
      error(('%s: its text does not stand exactly once in %s'):format(arg[1], name), 0)
    end
    text = text:sub(1, at - 1) .. mutation.new .. text:sub(last + 1)
  end
  local out = assert(io.open(to .. '/' .. name, 'wb'))
  out:write(text)
  out:close()
end
