#include "state.h"

#include "base/test.h"
#include "marshal.h"
#include "sources.h"

struct run {
    struct script_state *s;
    err_t rc;
    struct err e;
};

static int load_and_call(lua_State *L)
{
    struct bytes *text = lua_touserdata(L, 1);
    if (script_sources_compile(L, *text, "=test") != 0)
        return lua_error(L);
    lua_call(L, 0, 1);
    script_marshal_read(L, -1, true);
    return 0;
}

static err_t run_text(struct script_state *s, const char *text, struct err *e)
{
    struct bytes b = BYTES(text);
    return script_state_run(s, NULL, load_and_call, &b, e);
}

static struct script_state *open_state(uint64_t memory, uint64_t instructions)
{
    struct err e = { 0 };
    struct script_state *s = NULL;
    const struct script_state_config config = { memory, instructions, 0 };
    CHECK_OK(script_state_open(&config, &s, &e), e);
    return s;
}

/* The text that `return ...` gives. */
static void check_value(const char *text, const char *json)
{
    struct err e = { 0 };
    struct buf out = { 0 };
    struct script_state *s = open_state(16 << 20, 10000000);
    if (run_text(s, text, &e) != ERR_OK)
        fail_msg("%s: %s", text, e.msg);
    CHECK_EQ(value_to_json(s->value, false, &out), ERR_OK);
    if (!bytes_equal(buf_bytes(&out), BYTES(json)))
        fail_msg("%s: %.*s, not %s", text, (int)out.len, (const char *)out.data, json);
    buf_free(&out);
    script_state_close(s);
}

static void check_end(const char *text, uint64_t instructions, err_t rc, const char *part)
{
    struct err e = { 0 };
    struct script_state *s = open_state(16 << 20, instructions);
    CHECK_EQ(run_text(s, text, &e), rc);
    CHECK_CONTAINS(e.msg, part);
    script_state_close(s);
}

static void check_error(const char *text, err_t rc, const char *part)
{
    check_end(text, 1000000, rc, part);
}

TEST(state_values)
{
    check_value("return 1 + 1", "2");
    check_value("return {1, 'a', true, {x = 1}}", "[1,\"a\",true,{\"x\":1}]");
    check_value("return {b = 1, a = 2, [3] = 4}", "{\"3\":4,\"a\":2,\"b\":1}");
}

TEST(state_sandbox_is_an_allow_list)
{
    check_value(
        "local seen = {} for k in pairs(_G) do seen[#seen + 1] = k end return seen",
        "[\"_G\",\"_VERSION\",\"assert\",\"bit\",\"coroutine\",\"error\",\"getmetatable\",\"ipairs\",\"keys\","
        "\"math\",\"next\",\"pairs\",\"pcall\",\"print\",\"rawequal\",\"rawget\",\"rawset\",\"require\","
        "\"select\",\"setmetatable\",\"string\",\"table\",\"tonumber\",\"tostring\",\"type\",\"u64\",\"unpack\","
        "\"xpcall\"]");
    check_value(
        "local seen = {} for k in pairs(string) do seen[#seen + 1] = k end return table.concat(seen, ' ')",
        "\"byte char find format gmatch gsub len lower match rep reverse sub upper\"");
    check_value("return getmetatable('')", "\"locked\"");
    check_value("return pcall(setmetatable, '', {})", "false");
}

TEST(state_u64_is_exact)
{
    check_value("return u64('18446744073709551615')", "\"18446744073709551615\"");
    check_value("return u64('9007199254740993') == u64('9007199254740992')", "false");
    check_value("return u64('9007199254740993') == u64('9007199254740992') + 1", "true");
    check_value("local t = {} t[u64('9007199254740993')] = 'x' return t[u64('9007199254740993')]",
                "\"x\"");
    check_value(
        "return {u64(1) < u64(2), u64(2) <= u64(2), u64('9223372036854775808') > u64('9223372036854775807')}",
        "[true,true,true]");
    check_value("return tostring(u64('9223372036854775809'))", "\"9223372036854775809\"");
    check_value("return 'region ' .. u64(7) .. '!'", "\"region 7!\"");
    check_value(
        "return ('%d %s %x %5d|'):format(u64('18446744073709551615'), u64(3), u64(255), u64(4))",
        "\"18446744073709551615 3 ff     4|\"");
    check_value("return u64(2^53)", "9007199254740992");
    check_value("return {tonumber(u64(5)), u64(100) % 7, tostring(u64(9) - 4)}", "[5,2,\"5\"]");
    check_value("return tonumber(u64('9007199254740993')) == nil", "true");
    check_error("return u64(2^53 + 2)", ERR_SCRIPT, "2^53");
    check_error("return u64(-1)", ERR_SCRIPT, "2^53");
    check_error("return u64(1.5)", ERR_SCRIPT, "2^53");
    check_error("return u64('18446744073709551616')", ERR_SCRIPT, "2^64 - 1");
    check_error("return u64('18446744073709551615') + 1", ERR_SCRIPT, "2^64 - 1");
    check_error("return u64(1) - 2", ERR_SCRIPT, "below 0");
    check_error("return u64(1) < 2", ERR_SCRIPT, "compare");
    check_value("return (pcall(rawset, u64(1), 1, 1))", "false");
    check_value("return getmetatable(u64(1))", "\"u64\"");
}

TEST(state_pairs_has_one_order)
{
    check_value(
        "local o = {} for k, v in pairs({z = 1, a = 2, [10] = 3, [2] = 4, [u64(5)] = 5, [true] = 6, [-1] = 7})"
        " do o[#o + 1] = tostring(k) end return table.concat(o, ' ')",
        "\"-1 2 10 a z 5 true\"");
    check_value(
        "local t, o = {}, {} for i = 1, 1000 do t['k' .. i] = i end for k in pairs(t) do o[#o + 1] = k end "
        "local sorted = true for i = 2, #o do sorted = sorted and o[i - 1] < o[i] end return {#o, sorted}",
        "[1000,true]");
    check_value(
        "local t, n = {a = 1, b = 2, c = 3}, 0 for k in pairs(t) do n = n + 1 t.b = nil end return n",
        "2");
    check_value("return {next({}) == nil, (next({b = 1, a = 2})), (next({b = 1, a = 2}, 'a'))}",
                "[true,\"a\",\"b\"]");
    check_error("for k in pairs({[{}] = 1}) do end", ERR_SCRIPT, "have no order");
}

TEST(state_sort_is_stable_and_safe)
{
    check_value(
        "local t = {} for i = 1, 100 do t[i] = {k = i % 3, i = i} end "
        "table.sort(t, function(a, b) return a.k < b.k end) "
        "for i = 2, 100 do if t[i-1].k == t[i].k and t[i-1].i > t[i].i then return false end end return true",
        "true");
    check_value("local t = {3, 1, 2} table.sort(t) return t", "[1,2,3]");
    check_value("local t = {1, 2, 3} table.sort(t, function(a, b) return a > b end) return t",
                "[3,2,1]");
    check_value("local t = {3, 1, 2} table.sort(t, function() return true end) return #t", "3");
    check_value("local t = {3, 1, 2} pcall(table.sort, t, function() error('x') end) return t",
                "[3,1,2]");
    check_value("local t = {'b', 'a', 'c'} table.sort(t) return t", "[\"a\",\"b\",\"c\"]");
    check_error("table.sort({1, 'a'})", ERR_SCRIPT, "compare");
}

TEST(state_random_is_seeded)
{
    check_value("local a = {} for i = 1, 3 do a[i] = math.random(1000) end return #a", "3");
    struct err e = { 0 };
    struct value *first = NULL;
    for (int i = 0; i < 2; i++) {
        struct script_state *s = open_state(16 << 20, 1000000);
        prng_seed(&s->prng, 42);
        CHECK_OK(run_text(s, "return {math.random(), math.random(6), math.random(-5, 5)}", &e), e);
        struct value *v = script_marshal_take(s);
        CHECK(first == NULL || value_equal(first, v));
        value_free(first);
        first = v;
        script_state_close(s);
    }
    value_free(first);
}

TEST(state_errors_name_line_and_source)
{
    struct err e = { 0 };
    struct script_state *s = open_state(16 << 20, 1000000);
    s->chunk = BYTES("local x = nil\nreturn x.y");
    CHECK_EQ(run_text(s, "local x = nil\nreturn x.y", &e), ERR_SCRIPT);
    CHECK_CONTAINS(e.msg, "test:2: attempt to index local 'x'");
    CHECK_CONTAINS(e.msg, "\n  2 | return x.y");
    CHECK(s->trace.len > 0);
    script_state_close(s);
    check_error("error({message = 'from a table'})", ERR_SCRIPT, "from a table");
    check_error("error(setmetatable({}, {__tostring = function() return 'custom' end}))",
                ERR_SCRIPT, "custom");
    check_error("error(setmetatable({}, {__tostring = function() while true do end end}))",
                ERR_BUDGET, "budget");
    check_error("error()", ERR_SCRIPT, "nil");
    check_error("local function f() return f() + 1 end f()", ERR_SCRIPT, "stack overflow");
}

TEST(state_budget_cannot_be_caught)
{
    check_error("while true do pcall(function() while true do end end) end", ERR_BUDGET, "budget");
    check_error("pcall(function() while true do end end) return 1", ERR_BUDGET, "budget");
    check_error("xpcall(function() while true do end end, function() while true do end end)",
                ERR_BUDGET, "budget");
    check_error("local c = coroutine.wrap(function() while true do end end) pcall(c) return 1",
                ERR_BUDGET, "budget");
    check_end("local t, x = {}, ('x'):rep(1000) for i = 1, 1e9 do t[i] = x .. i end", 100000000,
              ERR_BUDGET, "memory");
    check_end(
        "pcall(function() local t, x = {}, ('x'):rep(1000) for i = 1, 1e9 do t[i] = x .. i end end) return 1",
        100000000, ERR_BUDGET, "memory");
}

TEST(state_counts_are_the_same_twice)
{
    uint64_t used = 0;
    for (int i = 0; i < 2; i++) {
        struct err e = { 0 };
        struct script_state *s = open_state(16 << 20, 3000000);
        CHECK_OK(
            run_text(s,
                     "local t = {} for i = 1, 5000 do t['k' .. i % 977] = ('v'):rep(i % 50) end "
                     "for k, v in pairs(t) do t[k] = v:gsub('v', 'w') end return t.k5",
                     &e),
            e);
        CHECK(used == 0 || used == s->used);
        used = s->used;
        script_state_close(s);
    }
}

TEST(state_patterns)
{
    check_value("return {('hello world'):find('o w')}", "[5,7]");
    check_value("return {('hello world'):find('(o)%s(w)')}", "[5,7,\"o\",\"w\"]");
    check_value("return {('key = value'):match('^(%w+)%s*=%s*(%w+)$')}", "[\"key\",\"value\"]");
    check_value("return {('hello'):gsub('l', {l = 'L'})}", "[\"heLLo\",2]");
    check_value("return {('hello world'):gsub('%w+', '<%0>')}", "[\"<hello> <world>\",2]");
    check_value("return {('abc'):gsub('', '-')}", "[\"-a-b-c-\",4]");
    check_value("return {('abc'):gsub('%w', function(c) if c == 'b' then return 'X' end end)}",
                "[\"aXc\",3]");
    check_value("return {('THE (quick) fox'):find('%((%a+)%)')}", "[5,11,\"quick\"]");
    check_value("return ('f(a(b)c)d'):match('%b()')", "\"(a(b)c)\"");
    check_value("return ('THE (quick) fox'):gsub('%f[%a]%a+', string.lower)",
                "\"the (quick) fox\"");
    check_value(
        "local o = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do o[#o+1] = k .. v end return o",
        "[\"a1\",\"b2\"]");
    check_value(
        "return {('  x '):match('^%s*(.-)%s*$'), ('a.b'):find('.', 1, true), ('x'):find('')}",
        "[\"x\",2,1,0]");
    check_value(
        "return {('aaa'):match('a-b') == nil, ('aXb'):match('%u'), ('[]]'):match('[]]'), ('a-z'):match('[a%-]+')}",
        "[true,\"X\",\"]\",\"a-\"]");
    check_value("return {('abcabc'):match('(abc)%1'), ('x'):match('()')}", "[\"abc\",1]");
    check_value("return {('k\\0v'):match('%z'), ('\\0a'):len(), ('ab'):find('b', -1)}",
                "[\"\\u0000\",2,2,2]");
    check_value(
        "return {('abc'):find('b', 10) == nil, ('hello'):match('.', -1), ('x^y'):match('[%^x]+')}",
        "[true,\"o\",\"x^\"]");
    check_error("('x'):match('(')", ERR_SCRIPT, "capture");
    check_error("('x'):match('[a')", ERR_SCRIPT, "set");
    check_error("('x'):match('%')", ERR_SCRIPT, "malformed");
    check_error("('a'):rep(32):find(('a-'):rep(32) .. 'b')", ERR_BUDGET, "budget");
    check_error("('a'):rep(200000):find('.-.-.-b')", ERR_BUDGET, "budget");
}

TEST(state_strings)
{
    check_value("return {('%5.2f|%d|%q|%s|%%|%c'):format(3.14159, 42, 'a\\n\"', nil, 65)}",
                "[\" 3.14|42|\\\"a\\\\n\\\\\\\"\\\"|nil|%|A\"]");
    check_value("return {('ab'):rep(3), ('ab'):rep(3, ','), ('ab'):rep(0), ('ab'):rep(-1)}",
                "[\"ababab\",\"ab,ab,ab\",\"\",\"\"]");
    check_value("return {('hello'):sub(2, -2), ('hello'):sub(-3), ('hello'):byte(1, -1)}",
                "[\"ell\",\"llo\",104,101,108,108,111]");
    check_value("return {tostring({}), tostring(print), tostring(nil), tostring(1.5)}",
                "[\"table\",\"function\",\"nil\",\"1.5\"]");
    check_value(
        "return {tonumber('0x10'), tonumber('z', 36), tonumber('8', 8) == nil, tonumber('  5  '), tonumber('1e1')}",
        "[16,35,true,5,10]");
    check_value("return table.concat({1, 2, 'x'}, '-')", "\"1-2-x\"");
    check_value(
        "local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) return {table.remove(t), #t, t[1]}",
        "[3,3,0]");
    check_value("return {select('#', unpack({1, 2, 3})), unpack({1, 2}, 2)}", "[3,2]");
    check_error("('x'):rep(1e10)", ERR_SCRIPT, "too large");
}

TEST(state_coroutines)
{
    check_value(
        "local c = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end) "
        "return {coroutine.resume(c, 1)}",
        "[true,2]");
    check_value(
        "local c = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end) "
        "coroutine.resume(c, 1) local _, v = coroutine.resume(c, 5) return {v, coroutine.status(c), "
        "(coroutine.resume(c))}",
        "[10,\"dead\",false]");
    check_value(
        "local o = {} for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do "
        "o[#o + 1] = v end return o",
        "[1,2,3]");
    check_value(
        "local c c = coroutine.create(function() return coroutine.resume(c) end) return {coroutine.resume(c)}",
        "[true,false,\"cannot resume a coroutine that is dead or running\"]");
    check_value("local c = coroutine.wrap(function() error('inner') end) return (pcall(c))",
                "false");
    check_error("local function f() return coroutine.wrap(f)() end f()", ERR_SCRIPT, "");
}

/* Fails every allocation of a run in turn: a clean error at each, nothing leaked (the sanitizer looks). */
TEST(state_every_allocation_may_fail)
{
    static const char text[] =
        "local t = {} for i = 1, 20 do t['k' .. i] = u64(i) end local o = {} for k, v in pairs(t) do o[#o + 1] = k end "
        "table.sort(o, function(a, b) return a < b end) local s = table.concat(o, ','):gsub('%d+', function(d) return d .. 'x' end) "
        "local c = coroutine.wrap(function() coroutine.yield(('%s %q'):format(s, s)) end) "
        "pcall(error, {}) return {o, s, c(), ('ab'):rep(100), next(t), xpcall(function() error('x') end, tostring)}";
    uint64_t fail_at = 1;
    int failures = 0, done = 0;
    for (; done < 3; fail_at++) {
        struct err e = { 0 };
        struct script_state *s = NULL;
        const struct script_state_config config = { 16 << 20, 10000000, fail_at };
        err_t rc = script_state_open(&config, &s, &e);
        if (rc == ERR_OK) {
            rc = run_text(s, text, &e);
            done += rc == ERR_OK;
            script_state_close(s);
        }
        if (rc != ERR_OK) {
            failures++;
            CHECK_EQ(rc, ERR_BUDGET);
            CHECK(e.msg[0] != '\0');
        }
        CHECK(fail_at < 100000);
    }
    CHECK(failures > 200);
    print_message("failed each of %d allocations\n", failures);
}

TEST_MAIN()
