-- A node on your own machine, started from the top of the source tree. Every option: config/node.lua.
return {
  data_dir = 'data/dev',
  address = '127.0.0.1:7700',
  http = { address = '127.0.0.1:7780' },
  policy = { lua_dir = 'lua' }, -- edit the scripts while the node runs
}
