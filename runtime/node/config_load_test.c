#include "node/config_load.h"

#include "base/test.h"
#include "script/script.h"

static struct buf test_file(const char *path)
{
    const char *source = getenv("FLOTILLA_SOURCE");
    char full[600];
    snprintf(full, sizeof full, "%s/%s", source != NULL ? source : ".", path);
    FILE *f = fopen(full, "rb");
    if (f == NULL)
        fail_msg("cannot read %s", full);
    struct buf b = { 0 };
    uint8_t part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        CHECK_EQ(buf_append(&b, bytes_from(part, n)), ERR_OK);
    fclose(f);
    return b;
}

TEST(config_load_takes_what_is_written_and_leaves_the_rest)
{
    static const char text[] = "local mb = 1024 * 1024\n"
                               "return {\n"
                               "  data_dir = '/var/lib/f' .. 7,\n"
                               "  address = '[::1]:7000',\n"
                               "  memory_bytes = 300 * mb,\n"
                               "  log = { level = 'debug' },\n"
                               "  limits = { idle_ms = '2m', hello_ms = 250 },\n"
                               "  console = { idle_s = '5m' },\n"
                               "  policy = { watch = false, instructions = 123456 },\n"
                               "}\n";
    struct err e = { 0 };
    struct node_config c;
    CHECK_OK(config_load(BYTES(text), "n.lua", &c, NULL, &e), e);
    CHECK_STR(c.data_dir, "/var/lib/f7");
    CHECK_STR(c.address, "[::1]:7000");
    CHECK_EQ(c.memory_bytes, 300 << 20);
    CHECK_STR(c.log.level, "debug");
    CHECK_STR(c.log.format, "logfmt");
    CHECK_EQ(c.limits.idle_ms, 120000);
    CHECK_EQ(c.limits.hello_ms, 250);
    CHECK_EQ(c.limits.frame_max, 16 << 20);
    CHECK_EQ(c.console.idle_s, 300);
    CHECK(!c.policy.watch);
    CHECK_EQ(c.policy.instructions, 123456);
    CHECK(!c.accept_panic);
}

/* The defaults stand in three places: struct node_config, the schema, config/node.lua. */
TEST(config_load_of_nothing_is_the_defaults)
{
    struct err e = { 0 };
    struct node_config want, have;
    memset(&want, 0, sizeof want); /* padding, for the comparison */
    memset(&have, 0, sizeof have);
    node_config_defaults(&want);
    CHECK_OK(config_load(BYTES("return {}"), "n.lua", &have, NULL, &e), e);
    CHECK_STR(have.data_dir, "data"); /* the schema's alone */
    memset(have.data_dir, 0, sizeof have.data_dir);
    const uint8_t *a = (const uint8_t *)&have, *b = (const uint8_t *)&want;
    for (size_t i = 0; i < sizeof want; i++)
        if (a[i] != b[i])
            fail_msg("a default differs: byte %zu of struct node_config is %d, not %d", i, a[i],
                     b[i]);
}

static void compare_with_schema(const struct value *options, const struct value *given,
                                const char *where)
{
    CHECK_EQ(given->kind, VALUE_MAP);
    for (size_t i = 0; i < options->count; i++) {
        const struct value *o = &options->items[i];
        char name[64];
        struct bytes n = value_get_bytes(o, "name", BYTES(""));
        snprintf(name, sizeof name, "%.*s", (int)n.len, (const char *)n.data);
        const struct value *v = value_get(given, name);
        if (v == NULL)
            fail_msg("config/node.lua lacks %s.%s", where, name);
        if (value_get_bytes(o, "doc", BYTES("")).len < 8)
            fail_msg("%s.%s has no doc in the schema", where, name);
        const struct value *inner = value_get(o, "options");
        bool list = bytes_equal(value_get_bytes(o, "type", BYTES("")), BYTES("list"));
        if (inner != NULL && !list)
            compare_with_schema(inner, v, name);
        else if (value_get(o, "default") == NULL)
            fail_msg("%s.%s has no default in the schema", where, name);
    }
    CHECK_EQ(given->count, options->count);
}

TEST(config_load_node_lua_shows_every_option_with_its_default)
{
    struct err e = { 0 };
    struct buf text = test_file("config/node.lua");
    struct node_config shown, defaults;
    memset(&shown, 0, sizeof shown);
    memset(&defaults, 0, sizeof defaults);
    CHECK_OK(config_load(buf_bytes(&text), "config/node.lua", &shown, NULL, &e), e);
    CHECK_OK(config_load(BYTES("return {}"), "n.lua", &defaults, NULL, &e), e);
    CHECK_EQ(memcmp(&shown, &defaults, sizeof shown), 0);

    struct value *schema, *given;
    CHECK_OK(config_load_schema(&schema, &e), e);
    CHECK_OK(script_load_table_text(buf_bytes(&text), "node.lua", &given, &e), e);
    compare_with_schema(schema, given, "");
    value_free(schema);
    value_free(given);
    buf_free(&text);
}

TEST(config_load_dev_lua_is_sound)
{
    struct err e = { 0 };
    struct buf text = test_file("config/dev.lua");
    struct node_config c;
    CHECK_OK(config_load(buf_bytes(&text), "config/dev.lua", &c, NULL, &e), e);
    CHECK_STR(c.data_dir, "data/dev");
    CHECK_STR(c.policy.lua_dir, "lua");
    CHECK(c.policy.watch);
    CHECK_STR(c.address, "127.0.0.1:7700");
    buf_free(&text);
}

TEST(config_load_takes_the_files_of_a_cluster)
{
    struct err e = { 0 };
    struct node_config c[3];
    for (unsigned i = 0; i < 3; i++) {
        char path[40], own[40];
        snprintf(path, sizeof path, "config/cluster/%c.lua", (int)('a' + i));
        struct buf text = test_file(path);
        CHECK_OK(config_load(buf_bytes(&text), path, &c[i], NULL, &e), e);
        buf_free(&text);
        snprintf(own, sizeof own, "127.0.0.1:770%u", i + 1);
        CHECK_STR(c[i].address, own);
        CHECK_STR(node_config_self(&c[i])->address, own);
        CHECK_EQ(c[i].cluster.count, 3);
        CHECK_STR(c[i].init.cluster_id, c[0].init.cluster_id);
        for (unsigned j = 0; j < 3; j++) {
            CHECK_EQ(c[i].cluster.stores[j].id, j + 1);
            CHECK_STR(c[i].cluster.stores[j].address, c[0].cluster.stores[j].address);
        }
    }
    struct value *tree = config_load_tree(&c[1]);
    const struct value *stores = value_get(value_get(tree, "cluster"), "stores");
    CHECK_EQ(stores->count, 3);
    CHECK_EQ(value_get_u64(&stores->items[2], "id", 0), 3);
    CHECK_BYTES(value_get_bytes(&stores->items[2], "address", BYTES("")), BYTES("127.0.0.1:7703"));
    value_free(tree);
}

TEST(config_load_takes_as_many_stores_as_there_is_room_for)
{
    for (unsigned n = NODE_STORES_MAX; n <= NODE_STORES_MAX + 1; n++) {
        struct err e = { 0 };
        struct node_config c;
        struct buf text = { 0 };
        CHECK_EQ(buf_printf(&text,
                            "local s = {} for i = 1, %u do s[i] = { id = i, address = "
                            "'127.0.0.1:' .. 7000 + i } end return { address = "
                            "'127.0.0.1:7001', init = { cluster_id = ('0'):rep(32) }, "
                            "cluster = { stores = s } }",
                            n),
                 ERR_OK);
        err_t rc = config_load(buf_bytes(&text), "n.lua", &c, NULL, &e);
        CHECK_EQ(rc, n > NODE_STORES_MAX ? ERR_INVALID_ARGUMENT : ERR_OK);
        buf_free(&text);
    }
}

TEST(config_load_takes_the_parameters_of_policies)
{
    static const char text[] =
        "return { policy = { params = {\n"
        "  pd = { replicas = 3, on = false, ['a-b'] = 'text' }, split = {},\n"
        "  mine = { share = 0.25 },\n"
        "} } }\n";
    struct err e = { 0 };
    struct node_config c;
    CHECK_OK(config_load(BYTES(text), "n.lua", &c, NULL, &e), e);
    CHECK_EQ(c.policy.params.count, 4);
    struct value *params = config_load_params(&c);
    const struct value *pd = value_get(params, "pd"), *mine = value_get(params, "mine");
    CHECK_EQ(value_get_number(pd, "replicas", 0), 3);
    CHECK(value_get(pd, "on") != NULL && !value_get_bool(pd, "on", true));
    CHECK_BYTES(value_get_bytes(pd, "a-b", BYTES("")), BYTES("text"));
    CHECK_EQ(value_get_number(mine, "share", 0), 0.25);
    struct value *tree = config_load_tree(&c);
    CHECK(value_equal(value_get(value_get(tree, "policy"), "params"), params));
    value_free(tree);
    value_free(params);
}

TEST(config_load_takes_as_many_parameters_as_there_is_room_for)
{
    for (unsigned n = NODE_PARAMS_MAX; n <= NODE_PARAMS_MAX + 1; n++) {
        struct err e = { 0 };
        struct node_config c;
        struct buf text = { 0 };
        CHECK_EQ(buf_printf(&text,
                            "local p = {} for i = 1, %u do p[('%%031d'):format(i)] = "
                            "('x'):rep(127) end return { policy = { params = { [('s'):rep(31)] = p "
                            "} } }",
                            n),
                 ERR_OK);
        err_t rc = config_load(buf_bytes(&text), "n.lua", &c, NULL, &e);
        CHECK_EQ(rc, n > NODE_PARAMS_MAX ? ERR_INVALID_ARGUMENT : ERR_OK);
        if (rc == ERR_OK) {
            CHECK_EQ(strlen(c.policy.params.items[NODE_PARAMS_MAX - 1].text), 127);
            CHECK_EQ(strlen(c.policy.params.items[NODE_PARAMS_MAX - 1].name), 31);
        }
        buf_free(&text);
    }
}

/* Mistakes that people make (faults.md, F-O1): each small file with what is said about it. */
static const struct {
    const char *text, *want;
} mistakes[] = {
    /* names */
    { "return { data_dri = 'x' }",
      "n.lua:1: data_dri: there is no such option; did you mean \"data_dir\"?" },
    { "return {\n  datadir = 'x',\n}",
      "n.lua:2: datadir: there is no such option; did you mean \"data_dir\"?" },
    { "return { frame_max = 1 }",
      "n.lua:1: frame_max: there is no such option here; it belongs into limits" },
    { "return { lua_dir = 'lua' }", "it belongs into policy" },
    { "return { log = { data_dir = 'x' } }", "it belongs into the top of the file" },
    { "return {\n limits = {\n  conections_max = 5,\n }\n}",
      "n.lua:3: limits.conections_max: there is no such option; did you mean \"connections_max\"?" },
    { "return { log = { lvl = 'info' } }", "log.lvl: there is no such option" },
    { "return { raft = { election = 1 } }",
      "raft: there is no such option; a config has data_dir, address" },
    { "return { Address = '127.0.0.1:1' }", "did you mean \"address\"?" },
    { "return { [1] = 'x' }", "this is a list" },
    { "return { 'data' }", "this is a list" },
    /* set twice */
    { "return {\n  address = '127.0.0.1:1',\n  address = '127.0.0.1:2',\n}",
      "n.lua:3: address: is set twice, first in line 2; remove one of them" },
    { "return { log = { level = 'info' },\n log = { format = 'json' } }",
      "n.lua:2: log: is set twice, first in line 1" },
    { "return { limits = { idle_ms = 5000,\n\n ['idle_ms'] = 6000 } }",
      "n.lua:3: limits.idle_ms: is set twice, first in line 1" },
    /* types */
    { "return { data_dir = 5 }", "data_dir: the number 5 is no text; put it in quotes" },
    { "return { data_dir = { } }", "data_dir: a table is no text" },
    { "return { data_dir = '' }", "data_dir: is empty" },
    { "return { allow_remote = 'no' }", "allow_remote: the text \"no\" is neither true nor false" },
    { "return { allow_remote = 0 }", "allow_remote: the number 0 is neither true nor false" },
    { "return { limits = 5 }",
      "limits: the number 5 is no table of options; write limits = { ... }" },
    { "return { limits = { 1, 2 } }", "limits: a list is no table of options" },
    { "return { log = 'debug' }", "log: the text \"debug\" is no table of options" },
    { "return { limits = { connections_max = '100' } }",
      "limits.connections_max: the text \"100\" is no whole number" },
    { "return { limits = { connections_max = 1.5 } }", "the number 1.5 is not a whole number" },
    { "return { limits = { connections_max = -1 } }",
      "the number -1 is not a whole number from 0 to 2^53" },
    { "return { limits = { connections_max = 1/0 } }", "is not a whole number from 0 to 2^53" },
    { "return { limits = { connections_max = 0/0 } }", "is not a whole number from 0 to 2^53" },
    { "return { memory_bytes = 2^60 }", "is not a whole number from 0 to 2^53" },
    /* units */
    { "return { memory_bytes = '1GB' }",
      "memory_bytes: the text \"1GB\" is not a size: write a whole number and B, KiB, MiB, GiB or TiB" },
    { "return { memory_bytes = '1G' }", "\"1G\" is not a size" },
    { "return { memory_bytes = '512mib' }", "\"512mib\" is not a size" },
    { "return { memory_bytes = '1.5GiB' }", "\"1.5GiB\" is not a size" },
    { "return { memory_bytes = 'lots' }", "\"lots\" is not a size" },
    { "return { memory_bytes = '536870912' }", "has no unit; write a number without quotes" },
    { "return { limits = { idle_ms = '5MiB' } }", "\"5MiB\" is not a duration" },
    { "return { limits = { idle_ms = '5min' } }",
      "\"5min\" is not a duration: write a whole number and ns, us, ms, s, m, h or d" },
    { "return { limits = { idle_ms = '5500us' } }", "is not a whole number of milliseconds" },
    { "return { limits = { idle_ms = '5sec' } }", "\"5sec\" is not a duration" },
    { "return { console = { idle_s = '1500ms' } }", "is not a whole number of seconds" },
    { "return { storage = { segment_bytes = '99999999999999999999MiB' } }", "is too large" },
    /* ranges */
    { "return { memory_bytes = 1024 }",
      "n.lua:1: memory_bytes: 1KiB is too small; the least is 64MiB" },
    { "return { storage = { segment_bytes = '2GiB' } }",
      "storage.segment_bytes: 2GiB is too large; the most is 1GiB" },
    { "return { storage = { background_jobs = 1 } }",
      "storage.background_jobs: 1 is too small; the least is 3" },
    { "return { storage = { disk_reserve_percent = 90 } }", "90 is too large; the most is 50" },
    { "return { limits = { frame_max = '1KiB' } }",
      "limits.frame_max: 1KiB is too small; the least is 5MiB" },
    { "return { init = { store_id = 0 } }", "init.store_id: 0 is too small; the least is 1" },
    { "return { init = { store_id = 4294967296 } }",
      "4294967296 is too large; the most is 4294967295" },
    { "return { tso = { count_max = 262145 } }", "262145 is too large; the most is 262144" },
    { "return { hlc = { window_ms = 0 } }", "hlc.window_ms: 0 is too small; the least is 100ms" },
    { "return { drain_ms = '5s' }", "drain_ms: 5s is too large; the most is 4999ms" },
    { "return { console = { sessions_max = 0 } }", "console.sessions_max: 0 is too small" },
    /* words and addresses */
    { "return { log = { level = 'warning' } }",
      "log.level: \"warning\" is not one of debug, info, warn, error; did you mean \"warn\"?" },
    { "return { log = { level = 'loud' } }",
      "log.level: \"loud\" is not one of debug, info, warn, error" },
    { "return { log = { format = 'JSON' } }",
      "log.format: \"JSON\" is not one of logfmt, json; did you mean \"json\"?" },
    { "return { address = '7700' }",
      "address: \"7700\" has no port; write for example '127.0.0.1:7700'" },
    { "return { address = 'localhost:7700' }", "has no IP address before the port" },
    { "return { address = '127.0.0.1:70000' }", "has no port from 0 to 65535" },
    { "return { address = '::1:7700' }", "is IPv6 without brackets" },
    { "return { address = 7700 }", "address: the number 7700 is no text" },
    { "return { init = { cluster_id = 'abc' } }",
      "n.lua:1: init.cluster_id: is \"abc\": write 32 hex digits" },
    /* combinations */
    { "return {\n address = '0.0.0.0:7700',\n}",
      "n.lua:2: address: \"0.0.0.0:7700\" can be reached from other machines" },
    { "return { http = { address = '10.0.0.1:80' } }",
      "http.address: \"10.0.0.1:80\" can be reached from other machines" },
    { "return { address = '127.0.0.1:7780' }",
      "http.address: \"127.0.0.1:7780\" and address \"127.0.0.1:7780\" (line 1) cannot share a port" },
    { "return { allow_remote = true, address = '0.0.0.0:7780' }", "cannot share a port" },
    { "return { console = { address = '127.0.0.1:9' } }",
      "console.address: is \"127.0.0.1:9\": the console listens on a Unix socket alone" },
    { "return { address = 'unix:/tmp/a', console = { address = 'unix:/tmp/a' } }",
      "console.address: is the same socket as address" },
    { "return { data_dir = ('d'):rep(100) }",
      "data_dir: is too long for a Unix socket in it (113 bytes, the most is 107)" },
    { "return { data_dir = ('d'):rep(600) }", "data_dir: has 600 bytes; the most is 511" },
    { "return { limits = { inflight_bytes_max = '6MiB' } }",
      "limits.inflight_bytes_max: is below limits.frame_max (16777216)" },
    { "return { limits = { inflight_bytes_max = '1GiB' } }", "is more than half of memory_bytes" },
    { "return { limits = { backlog_max = '8MiB' } }",
      "limits.backlog_max: is below limits.frame_max" },
    { "return { limits = { idle_ms = '3s' } }",
      "limits.idle_ms: must be longer than limits.hello_ms (5000ms)" },
    { "return { region = { scan_bytes_max = '16MiB' } }",
      "region.scan_bytes_max: needs limits.frame_max (16777216) to be at least 1MiB above it" },
    { "return { memory_bytes = '100MiB' }",
      "memory_bytes: 104857600 is too small for these scripts" },
    /* the cluster */
    { "return { cluster = { stores = { ['1'] = '127.0.0.1:1' } } }",
      "cluster.stores: a table with names is no list; write cluster.stores = { { ... }, { ... } }" },
    { "return { cluster = { stores = { '127.0.0.1:7701' } } }",
      "cluster.stores[1]: the text \"127.0.0.1:7701\" is no table of options; write { ... }" },
    { "return {\n cluster = { stores = {\n { id = 1 } } } }",
      "n.lua:3: cluster.stores[1].address: is not set" },
    { "return { cluster = { stores = {\n { id = 1, address = '127.0.0.1:7700' },\n"
      " { id = 2, address = '127.0.0.1:7701', adress = 1 } } } }",
      "n.lua:3: cluster.stores[2].adress: there is no such option; did you mean \"address\"?" },
    { "return { cluster = { stores = { { id = 1, address = 'b:7701' } } } }",
      "cluster.stores[1].address: \"b:7701\" has no IP address before the port" },
    { "return { stores = {} }", "there is no such option here; it belongs into cluster" },
    { "return { init = { store_id = 3 },\n cluster = {\n stores = { { id = 1, address = "
      "'127.0.0.1:7700' } } } }",
      "n.lua:3: cluster.stores: has no store 3, which is this node's init.store_id" },
    { "return { cluster = { stores = { { id = 1, address = '127.0.0.1:7701' } } } }",
      "cluster.stores: has \"127.0.0.1:7701\" for this node, store 1, but address is" },
    { "return { cluster = { stores = { { id = 1, address = '127.0.0.1:7700' } } } }",
      "init.cluster_id: is not set: the nodes of cluster.stores know each other by it" },
    /* parameters of policies: what they mean is checked where the scripts are */
    { "return { policy = { params = 5 } }",
      "policy.params: the number 5 is no table of names; write { name = ... }" },
    { "return { policy = { params = { 5 } } }", "policy.params: a list is no table of names" },
    { "return { policy = {\n params = {\n pd = 3 } } }",
      "n.lua:3: policy.params.pd: the number 3 is no table of names" },
    { "return { policy = { params = { pd = {\n x = { 1 } } } } }",
      "n.lua:2: policy.params.pd.x: a table is neither number, boolean nor text" },
    { "return { policy = { params = { pd = { x = 1/0 } } } }",
      "policy.params.pd.x: the number inf is not finite" },
    { "return { policy = { params = { pd = { x = ('x'):rep(128) } } } }",
      "has more than 127 bytes" },
    { "return { policy = { params = { pd = { x = 'a\\0b' } } } }", "or a NUL in it" },
    { "return { policy = { params = { ['a b'] = { x = 1 } } } }",
      "policy.params: \"a b\" is no name; it has 1 to 31 letters, digits, _ and -" },
    { "return { policy = { params = { pd = { [('x'):rep(32)] = 1 } } } }",
      "policy.params.pd: \"xxxx" },
    /* Lua itself */
    { "return {\n  data_dir = 'x'\n  address = 'y'\n}", "n.lua:3:" },
    { "return {", "n.lua:1:" },
    { "data_dir = 'x'", "n.lua" },
    { "", "n.lua" },
    { "return 5", "n.lua" },
    { "return { data_dir = os.getenv('HOME') }", "n.lua:1:" },
    { "return {\n data_dir = io.open('/etc/passwd'):read() }", "n.lua:2:" },
    { "return { data_dir = function() end }", "n.lua" },
    { "while true do end", "n.lua" },
    { "local t = {} t.t = t return t", "n.lua" },
    { "return require('x')", "n.lua" },
    { "error('no config today')", "no config today" },
    { "return { data_dir = ('x'):rep(1e9) }", "n.lua" },
};

TEST(config_load_says_what_is_wrong_with_small_files)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct err e = { 0 };
        struct node_config c;
        memset(&c, 0x5a, sizeof c);
        struct buf report = { 0 };
        err_t rc = config_load(BYTES(mistakes[i].text), "n.lua", &c, &report, &e);
        CHECK_EQ(buf_append(&report, bytes_from("", 1)), ERR_OK);
        if (rc == ERR_OK)
            fail_msg("accepted: %s", mistakes[i].text);
        if (strstr(e.msg, mistakes[i].want) == NULL)
            fail_msg("%s\n  says \"%s\"\n  without \"%s\"", mistakes[i].text, e.msg,
                     mistakes[i].want);
        CHECK_CONTAINS((char *)report.data, e.msg);
        CHECK_EQ(((uint8_t *)&c)[0], 0x5a); /* nothing was filled */
        buf_free(&report);
    }
    CHECK(sizeof mistakes / sizeof mistakes[0] >= 60);
}

TEST(config_load_reports_every_mistake)
{
    struct err e = { 0 };
    struct node_config c;
    struct buf report = { 0 };
    CHECK_EQ(config_load(BYTES("return {\n addres = 1,\n drain_ms = '1d',\n log = { level = 1 } }"),
                         "n.lua", &c, &report, &e),
             ERR_INVALID_ARGUMENT);
    CHECK_EQ(buf_append(&report, bytes_from("", 1)), ERR_OK);
    CHECK_CONTAINS((char *)report.data, "n.lua:2: addres: ");
    CHECK_CONTAINS((char *)report.data, "n.lua:3: drain_ms: ");
    CHECK_CONTAINS((char *)report.data, "n.lua:4: log.level: ");
    buf_free(&report);
}

TEST(config_load_refuses_a_file_that_is_no_config)
{
    struct err e = { 0 };
    struct node_config c;
    struct buf text = { 0 };
    CHECK(buf_reserve(&text, CONFIG_TEXT_MAX + 1) != NULL);
    memset(text.data, ' ', CONFIG_TEXT_MAX + 1);
    text.len = CONFIG_TEXT_MAX + 1;
    CHECK_EQ(config_load(buf_bytes(&text), "n.lua", &c, NULL, &e), ERR_TOO_LARGE);
    CHECK_CONTAINS(e.msg, "n.lua: 1048577 bytes are no config");
    buf_free(&text);
    CHECK_EQ(config_load(bytes_from("\x1bLJ\x02", 4), "n.lua", &c, NULL, &e), ERR_SCRIPT);
    CHECK_CONTAINS(e.msg, "n.lua"); /* bytecode */
}

TEST_MAIN()
