-- Node a of a cluster of three on your own machine, started from the top of the source tree:
--
--   for n in a b c; do flotilla init --config config/cluster/$n.lua; done
--   for n in a b c; do flotilla start --config config/cluster/$n.lua & done
--
-- The three differ in data_dir, address, http.address and init.store_id alone. Every option: config/node.lua.
return {
  data_dir = 'data/a',
  address = '127.0.0.1:7701',
  http = { address = '127.0.0.1:7781' },
  init = { store_id = 1, cluster_id = '00000000000000000000000000000c03' },
  cluster = {
    stores = {
      { id = 1, address = '127.0.0.1:7701' },
      { id = 2, address = '127.0.0.1:7702' },
      { id = 3, address = '127.0.0.1:7703' },
    },
  },
}
