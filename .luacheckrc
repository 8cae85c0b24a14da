-- Scripts see the sandbox's globals and no others (runtime/script/sandbox.c).
std = 'luajit'
max_line_length = 140
local sandbox = { 'keys', 'u64' }
files['lua'] = { read_globals = sandbox, std = 'lua51' }
files['lua/types'] = { ignore = { '' } }
files['examples'] = { read_globals = sandbox, std = 'lua51' }
files['examples/lua'] = { std = 'luajit' }
files['spec'] = { std = '+busted', read_globals = sandbox }
files['spec/helper.lua'] = { globals = sandbox }
exclude_files = { 'build', 'runtime/script/hostile' }
