/* The host in the simulated world: reloads, plans, verbs, sessions. Threads are lane_test.c's. */
#include "script.h"

#include "base/test.h"
#include "sim_world/world.h"
#include "policy.h"
#include "sources.h"

struct fixture {
    struct sim_world *world;
    struct env *env;
    struct script_host *host;
};

static const struct script_limits limits = { 32 << 20, 5000000, 10000 };

static void door(void *user, const char *name, const struct value *arguments,
                 struct script_call *call)
{
    (void)user;
    if (strcmp(name, "status") == 0) {
        struct value *v = value_new(VALUE_MAP);
        value_put_u64(value_set(v, "node_id"), UINT64_MAX);
        value_put_bytes(value_set(v, "who"), value_get_bytes(arguments, "who", BYTES("nobody")));
        script_call_answer(call, ERR_OK, NULL, v);
    } else if (strcmp(name, "kv.get") == 0) {
        struct value *v = value_new(VALUE_NIL);
        value_put_bytes(v, value_get_bytes(arguments, "key", BYTES("?")));
        script_call_answer(call, ERR_OK, NULL, v);
    } else if (strcmp(name, "namespace.list") == 0) {
        struct value *v = value_new(VALUE_LIST);
        for (int i = 0; i < 2; i++) {
            struct value *row = value_add(v);
            value_put_map(row);
            value_put_u64(value_set(row, "id"), (uint64_t)i * 100);
            value_put_text(value_set(row, "name"), i == 0 ? "system" : "default");
            value_put_bool(value_set(row, "eventual"), i == 1);
        }
        script_call_answer(call, ERR_OK, NULL, v);
    } else {
        script_call_answer(call, ERR_UNIMPLEMENTED, "not in this test", NULL);
    }
}

static void put_file(struct env *env, const char *path, const char *text)
{
    struct err e = { 0 };
    CHECK_OK(env_write_file(env, path, BYTES(text), &e), e);
}

/* The scripts of the program, as files. */
static void put_scripts(struct env *env, const char *dir)
{
    struct err e = { 0 };
    char path[256];
    struct script_sources *s = script_sources_embedded(NULL, (struct bytes){ 0 });
    CHECK_OK(env_mkdir(env, dir, &e), e);
    snprintf(path, sizeof path, "%s/lib", dir);
    CHECK_OK(env_mkdir(env, path, &e), e);
    for (size_t i = 0; i < script_sources_count(s); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, script_sources_name(s, i));
        CHECK_OK(env_write_file(env, path, script_sources_text(s, i), &e), e);
    }
    script_sources_drop(s);
}

/* policy.params as JSON, NULL: none. */
static err_t try_host(struct fixture *f, const char *dir, bool watch, const char *params,
                      struct err *e)
{
    struct value *tree = NULL;
    if (params != NULL)
        CHECK_OK(value_from_json(BYTES(params), &tree, e), *e);
    const struct script_config config = { .lua_dir = dir,
                                          .policy = limits,
                                          .session = limits,
                                          .sessions_max = 4,
                                          .door = { door, NULL },
                                          .watch = watch,
                                          .params = tree };
    return script_host_open(f->env, NULL, &config, &f->host, e);
}

static struct fixture open_world(const char *dir)
{
    struct fixture f = { .world = sim_world_new(7, NULL) };
    f.env = sim_world_env(f.world);
    if (dir != NULL)
        put_scripts(f.env, dir);
    return f;
}

static struct fixture open_host(const char *dir, bool watch)
{
    struct err e = { 0 };
    struct fixture f = open_world(dir);
    CHECK_OK(try_host(&f, dir, watch, NULL, &e), e);
    return f;
}

static void close_host(struct fixture *f)
{
    script_host_close(f->host);
    sim_world_close(f->world);
}

/* ---- Asking and waiting -------------------------------------------------------------------- */

struct answer {
    bool there, changed, incomplete;
    err_t rc;
    char text[4096];
    size_t start;
};

static void take_text(struct answer *a, struct bytes text)
{
    snprintf(a->text, sizeof a->text, "%.*s", (int)text.len,
             text.len > 0 ? (const char *)text.data : "");
    a->there = true;
}

static void wait_for(struct fixture *f, struct answer *a)
{
    while (!a->there)
        CHECK(sim_world_turn(f->world));
}

static void on_reload(void *user, err_t rc, const char *message, bool changed)
{
    struct answer *a = user;
    a->rc = rc;
    a->changed = changed;
    take_text(a, BYTES(message));
}

static struct answer reload(struct fixture *f)
{
    struct answer a = { 0 };
    script_reload(f->host, on_reload, &a);
    wait_for(f, &a);
    return a;
}

static void on_admin(void *user, err_t rc, struct bytes text)
{
    struct answer *a = user;
    a->rc = rc;
    take_text(a, text);
}

static struct answer admin(struct fixture *f, const char *verb, const char *json)
{
    struct answer a = { 0 };
    script_admin(f->host, BYTES(verb), BYTES(json), "test", on_admin, &a);
    wait_for(f, &a);
    return a;
}

static void on_eval(void *user, const struct script_answer *answer)
{
    struct answer *a = user;
    a->rc = answer->rc;
    a->incomplete = answer->incomplete;
    take_text(a, answer->output);
}

static struct answer eval(struct fixture *f, struct script_session *session, const char *text,
                          const char *format)
{
    struct answer a = { 0 };
    script_session_eval(session, BYTES(text), format, 0, on_eval, &a);
    wait_for(f, &a);
    return a;
}

static void on_words(void *user, size_t start, const struct bytes *words, size_t count)
{
    struct answer *a = user;
    struct buf all = { 0 };
    for (size_t i = 0; i < count; i++)
        if (buf_append(&all, words[i]) != ERR_OK || buf_append(&all, BYTES("|")) != ERR_OK)
            abort();
    a->start = start;
    take_text(a, buf_bytes(&all));
    buf_free(&all);
}

static struct answer complete(struct fixture *f, struct script_session *session, const char *line)
{
    struct answer a = { 0 };
    script_session_complete(session, BYTES(line), on_words, &a);
    wait_for(f, &a);
    return a;
}

struct planned {
    bool there;
    err_t rc;
    size_t count;
    struct pd_proposal first;
    char key[64], error[2048], notes[1024];
    uint64_t instructions;
};

static void on_plan(void *user, const struct pd_plan *plan)
{
    struct planned *p = user;
    p->there = true;
    p->rc = plan->rc;
    p->count = plan->count;
    p->instructions = plan->instructions;
    snprintf(p->error, sizeof p->error, "%s", plan->error != NULL ? plan->error : "");
    snprintf(p->notes, sizeof p->notes, "%s", plan->notes);
    if (plan->count > 0) {
        p->first = plan->proposals[0];
        snprintf(p->key, sizeof p->key, "%.*s", (int)p->first.split_key.len,
                 (const char *)p->first.split_key.data);
    }
}

static struct planned plan(struct fixture *f, const struct pd_view *view)
{
    struct planned p = { 0 };
    struct pd_policy policy;
    script_host_policy(f->host, &policy);
    policy.plan(policy.self, view, on_plan, &p);
    while (!p.there)
        CHECK(sim_world_turn(f->world));
    return p;
}

static struct pd_view busy_view(void)
{
    static struct bytes samples[3];
    static struct pd_region_view region;
    static const struct pd_store_view store = { 1, "127.0.0.1:7700", "up", 1000, 500, 1, 1 };
    samples[0] = BYTES("b");
    samples[1] = BYTES("k");
    samples[2] = BYTES("x");
    region = (struct pd_region_view){ .id = 1,
                                      .conf_ver = 3,
                                      .version = 9,
                                      .end_unbounded = true,
                                      .approx_bytes = 1ull << 30,
                                      .samples = samples,
                                      .sample_count = 3,
                                      .leader_store = 1 };
    return (struct pd_view){ 1000, 42, &store, 1, &region, 1 };
}

static void digest_of(struct fixture *f, char out[65])
{
    struct script_bundle_info info;
    script_bundle(f->host, &info);
    memcpy(out, info.digest, 65);
}

/* ---- Tests --------------------------------------------------------------------------------- */

TEST(host_plans_with_the_embedded_scripts)
{
    struct fixture f = open_host(NULL, false);
    struct pd_view view = busy_view();
    struct planned first = plan(&f, &view);
    CHECK_STR(first.error, "");
    CHECK_EQ(first.count, 1);
    CHECK_EQ(first.first.kind, PD_SPLIT);
    CHECK_EQ(first.first.region_id, 1);
    CHECK_EQ(first.first.conf_ver, 3);
    CHECK_EQ(first.first.version, 9);
    CHECK_STR(first.key, "k");
    CHECK_CONTAINS(first.first.reason, "over max_bytes");
    struct planned second = plan(&f, &view);
    CHECK_EQ(second.count, 1);
    struct script_bundle_info info;
    script_bundle(f.host, &info);
    CHECK_STR(info.source, "embedded");
    CHECK_EQ(strlen(info.digest), 64);
    CHECK_EQ(info.policy_count, 4);
    struct script_stats stats;
    script_host_stats(f.host, &stats);
    CHECK_EQ(stats.plans, 2);
    CHECK_EQ(stats.plan_errors, 0);
    close_host(&f);
}

TEST(host_same_view_same_plan)
{
    uint64_t instructions = 0;
    for (int i = 0; i < 2; i++) {
        struct fixture f = open_host(NULL, false);
        struct pd_view view = busy_view();
        struct planned p = plan(&f, &view);
        CHECK(instructions == 0 || instructions == p.instructions);
        instructions = p.instructions;
        close_host(&f);
    }
    CHECK(instructions > 0);
}

TEST(host_refuses_wrong_proposals_as_a_set)
{
    static const struct {
        const char *plan, *error;
    } cases[] = {
        { "return {{kind = 'split', region = 1, key = 'k', reason = 'ok'}, {kind = 'split', region = 7, key = 'k', reason = 'r'}}",
          "proposal 2: the view has no such region" },
        { "return {{kind = 'split', region = 1, key = '', reason = 'r'}}", "strictly inside" },
        { "return {{kind = 'split', region = 1, reason = 'r'}}", "wants its key" },
        { "return {{kind = 'split', region = 1, key = 'k'}}", "a reason" },
        { "return {{kind = 'split', region = 1, key = 'k', reason = ('x'):rep(240)}}",
          "a reason of 1 to 239" },
        { "return {{kind = 'split', region = 0/0, key = 'k', reason = 'r'}}", "region is the id" },
        { "return {{kind = 'split', region = -1, key = 'k', reason = 'r'}}", "region is the id" },
        { "return {{kind = 'split', region = 1.5, key = 'k', reason = 'r'}}", "region is the id" },
        { "return {{kind = 'drop', region = 1, reason = 'r'}}", "kind is split" },
        { "return {{kind = 'move', region = 1, from = 1, to = 1, reason = 'r'}}",
          "the same store" },
        { "return {{kind = 'move', region = 1, from = 1, to = 9, reason = 'r'}}", "ids of stores" },
        { "return {{kind = 'split', region = 1, key = 'k', reason = 'r', force = true}}",
          "unknown field \"force\"" },
        { "return {{kind = 'split', region = 1, key = 'k', reason = 'r'}, 5}",
          "proposal 2: it is no table" },
        { "return 'all'", "list of proposals" },
        { "local t = {} for i = 1, 1001 do t[i] = 1 end return t", "more than 1000" },
        { "kept = view", "pd.lua:" },
        { "for r in view:regions() do r.bytes = 1 end", "cannot be changed" },
        { "return view.secrets", "no field \"secrets\"" },
        { "local x = nil; return x.y", "attempt to index" },
        { "while true do end", "budget" },
        { "pcall(function() while true do end end) return {}", "budget" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        struct fixture f = open_host("lua", false);
        /* The dry run would refuse it, so it only misbehaves on the real view. */
        snprintf(
            text, sizeof text,
            "return { api = 1, name = 'pd', version = '1', kind = 'placement',\n"
            "plan = function(view, params, state)\nif view.store_count == 2 then return {} end\n%s\nend }\n",
            cases[i].plan);
        put_file(f.env, "lua/pd.lua", text);
        struct answer a = reload(&f);
        if (a.rc != ERR_OK) { /* `kept = view` is found by lint already */
            CHECK_CONTAINS(a.text, cases[i].error);
        } else {
            struct pd_view view = busy_view();
            struct planned p = plan(&f, &view);
            CHECK(p.rc == ERR_SCRIPT || p.rc == ERR_BUDGET);
            CHECK_EQ(p.count, 0);
            CHECK_CONTAINS(p.error, cases[i].error);
        }
        close_host(&f);
    }
}

/* Fails every allocation of a plan in turn: each is a refused plan, nothing is leaked (the sanitizer looks). */
TEST(host_plan_every_allocation_may_fail)
{
    struct err e = { 0 };
    struct script_bundle *b = NULL;
    struct view *view = NULL;
    struct pd_view plain = busy_view();
    CHECK_EQ(script_view_copy(&plain, &view), ERR_OK);
    int failures = 0;
    for (uint64_t k = 1;; k++) {
        struct script_plan plan;
        CHECK_OK(script_bundle_build(script_sources_embedded(NULL, (struct bytes){ 0 }), &limits,
                                     NULL, 1, NULL, NULL, NULL, &b, &e),
                 e);
        b->state->fail_at = b->state->allocations + k;
        script_policy_plan(b, NULL, view, &plan);
        err_t rc = plan.plain.rc;
        CHECK(rc == ERR_OK ? plan.plain.count == 1
                           : plan.plain.count == 0 && plan.plain.error[0] != '\0');
        script_policy_free(&plan);
        script_bundle_free(b);
        if (rc == ERR_OK)
            break;
        CHECK_EQ(rc, ERR_BUDGET);
        failures++;
    }
    print_message("failed each of %d allocations of a plan\n", failures);
    CHECK(failures > 20);
    script_view_free(view);
}

TEST(host_broken_scripts_change_nothing)
{
    static const struct {
        const char *file, *text, *error;
    } cases[] = {
        { "lua/split.lua", "local split = {\nreturn split", "split.lua:2:" },
        { "lua/split.lua", "local split = {}\nsplit.x = nil + 1\nreturn split", "split.lua:2:" },
        { "lua/split.lua", "local split = {}\nlocal f = io.open('x')\nreturn split",
          "split.lua:2: global 'io'" },
        { "lua/split.lua", "local s = {}\nfunction helper() end\nreturn s",
          "split.lua:2: global 'helper'" },
        { "lua/split.lua", "while true do end", "split.lua:1: the budget" },
        { "lua/split.lua", "\x1bLJ\x02\x01", "split.lua:1: bytecode" },
        { "lua/split.lua", "local t = {}\nfor i = 1, 1e9 do t[i] = {} end",
          "split.lua:2: not enough memory" },
        { "lua/split.lua", "local x = 1\nlocal y = require 'nowhere'\nreturn { x, y }",
          "split.lua:2: require \"nowhere\"" },
        { "lua/split.lua", "local me = require 'split'\nreturn { me }",
          "split.lua:1: require \"split\": it requires itself" },
        { "lua/split.lua", "return 5", "split.lua:1:" },
        { "lua/pd.lua", "return {}", "pd.lua:1: pd.lua must be of kind placement" },
        { "lua/pd.lua", "return { api = 2, kind = 'placement' }", "pd.lua:1: api must be 1" },
        { "lua/pd.lua", "return {\n  api = 1, name = 'pd', version = '1',\n  kind = 'other' }",
          "pd.lua:3: kind is" },
        { "lua/pd.lua", "return {\n  api = 1, name = 'pd', version = '1',\n  kind = 'placement' }",
          "has a function plan" },
        { "lua/pd.lua",
          "return { api = 1, name = 'pd', version = '1', kind = 'placement',\nparams = {\nx = { type = 'number', default = 9, max = 5, doc = 'd' } },\nplan = function() end }",
          "pd.lua:3: params.x: the default is outside" },
        { "lua/pd.lua",
          "return { api = 1, name = 'pd', version = '1', kind = 'placement',\nparams = { x = { type = 'number', default = 9, value = 8, doc = 'd' } },\nplan = function() end }",
          "params.x: value is the node's config's to set" },
        { "lua/pd.lua",
          "return { api = 1, name = 'pd', version = '1', kind = 'placement',\nplan = function(view)\nreturn view.nothing\nend }",
          "pd.lua:3: a view has no field" },
        { "lua/pd.lua",
          "return { api = 1, name = 'pd', version = '1', kind = 'placement',\nplan = function(view) return {{ kind = 'split' }} end }",
          "pd.lua:2: plan() gave proposal 1: region" },
        { "lua/admin.lua", NULL, "admin.lua:1: the file is missing" },
    };
    struct fixture f = open_host("lua", false);
    char before[65], after[65];
    digest_of(&f, before);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = { 0 };
        struct buf good = { 0 };
        CHECK_OK(env_read_file(f.env, cases[i].file, 1 << 20, &good, &e), e);
        if (cases[i].text != NULL)
            put_file(f.env, cases[i].file, cases[i].text);
        else
            CHECK_OK(env_remove(f.env, cases[i].file, &e), e);
        struct answer a = reload(&f);
        CHECK(a.rc != ERR_OK);
        CHECK(!a.changed);
        CHECK_CONTAINS(a.text, cases[i].error);
        digest_of(&f, after);
        CHECK_STR(after, before);
        struct script_bundle_info info;
        script_bundle(f.host, &info);
        CHECK_EQ(info.failures, i + 1);
        CHECK_EQ(info.generation, 1);
        CHECK_STR(info.last_error, a.text);
        CHECK_OK(env_write_file(f.env, cases[i].file, buf_bytes(&good), &e), e);
        buf_free(&good);
        struct pd_view view = busy_view();
        CHECK_EQ(plan(&f, &view).count, 1); /* the last good one goes on */
    }
    struct answer same = reload(&f);
    CHECK_EQ(same.rc, ERR_OK);
    CHECK(!same.changed);
    close_host(&f);
}

TEST(host_reload_switches_and_carries_state)
{
    struct fixture f = open_host("lua", false);
    struct pd_view view = busy_view();
    plan(&f, &view);
    plan(&f, &view);
    put_file(
        f.env, "lua/pd.lua",
        "return { api = 1, name = 'pd', version = '2', kind = 'placement',\n"
        "init = function(params, saved, from) return { was = saved and saved.plans, from = from } end,\n"
        "save = function(state) return state end,\n"
        "plan = function(view, params, state) return {}, { tostring(state.was), tostring(state.from) } end }");
    struct answer a = reload(&f);
    CHECK_STR(a.text, "");
    CHECK(a.changed);
    struct planned p = plan(&f, &view);
    CHECK_STR(p.notes, "2\n1.0.0");
    struct script_bundle_info info;
    script_bundle(f.host, &info);
    CHECK_EQ(info.generation, 2);
    CHECK_EQ(info.reloads, 1);
    close_host(&f);
}

/* ---- Parameters ---------------------------------------------------------------------------- */

/* The two regions of the view are too large by the defaults; each parameter alone changes the plan. */
TEST(host_params_reach_every_file_of_the_bundle)
{
    struct err e = { 0 };
    struct fixture f = open_world("lua");
    CHECK_OK(try_host(&f, "lua", false, "{\"split\":{\"max_bytes\":2147483648}}", &e), e);
    struct pd_view view = busy_view();
    CHECK_STR(plan(&f, &view).notes, "region 1: within max_bytes and max_ops"); /* split's own */
    struct answer a = admin(&f, "policy.list", "{}");
    CHECK_CONTAINS(a.text, "\"params\":{\"max_bytes\":2147483648,\"max_ops\":20000");
    CHECK_CONTAINS(a.text, "\"params\":{\"proposals_max\":16}"); /* pd's, by default */
    put_file(f.env, "lua/pd.lua",
             "local split, values = require 'split', require 'lib.values'\n"
             "return { api = 1, name = 'pd', version = '2', kind = 'placement', params = {\n"
             "on = { type = 'boolean', default = true, doc = 'd' },\n"
             "word = { type = 'string', default = 'x', doc = 'd' } },\n"
             "init = function(params) return { on = params.on } end,\n"
             "plan = function(_, params, state) return {}, { tostring(params.on), params.word,\n"
             "tostring(state.on), tostring(values(split.params).max_bytes) } end }");
    a = reload(&f);
    CHECK_STR(a.text, "");
    CHECK_STR(plan(&f, &view).notes, "true\nx\ntrue\n2147483648"); /* set again in the new bundle */
    close_host(&f);

    f = open_world("lua");
    put_file(f.env, "lua/pd.lua",
             "return { api = 1, name = 'pd', version = '2', kind = 'placement', params = {\n"
             "on = { type = 'boolean', default = true, doc = 'd' },\n"
             "word = { type = 'string', default = 'x', doc = 'd' } },\n"
             "plan = function(_, params) return {}, { tostring(params.on), params.word } end }");
    CHECK_OK(try_host(&f, "lua", false, "{\"pd\":{\"on\":false,\"word\":\"a\\nb\"}}", &e), e);
    CHECK_STR(plan(&f, &view).notes, "false\na\nb");
    close_host(&f);
}

/* The embedded scripts and the config are both the operator's, so a node says it at once. */
TEST(host_params_that_do_not_fit_are_refused_by_name)
{
    static const struct {
        const char *params, *error;
    } cases[] = {
        { "{\"pq\":{\"x\":1}}",
          "policy.params.pq: there is no such policy among the scripts; there are pd, split" },
        { "{\"admin\":{\"x\":1}}", "policy.params.admin: there is no such policy" },
        { "{\"split\":{\"max_byte\":1}}",
          "policy.params.split.max_byte: there is no such parameter; did you mean \"max_bytes\"?" },
        { "{\"split\":{\"colour\":1}}",
          "policy.params.split.colour: there is no such parameter; it has "
          "max_bytes, max_ops, min_bytes" },
        { "{\"pd\":{\"proposals_max\":1001}}",
          "policy.params.pd.proposals_max: 1001 is not an integer from 1 to 1000 (proposals of one "
          "plan)" },
        { "{\"pd\":{\"proposals_max\":0}}", "0 is not an integer from 1 to 1000" },
        { "{\"pd\":{\"proposals_max\":1.5}}", "1.5 is not an integer from 1 to 1000" },
        { "{\"pd\":{\"proposals_max\":\"3\"}}", "the text \"3\" is not an integer" },
        { "{\"pd\":{\"proposals_max\":true}}", "true is not an integer" },
        { "{\"split\":{\"max_ops\":0}}", "0 is not a number, at least 1" },
        { "{\"split\":{\"max_ops\":{\"a\":1}}}", "a table is not a number" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = { 0 };
        struct fixture f = open_world(NULL);
        CHECK_EQ(try_host(&f, NULL, false, cases[i].params, &e), ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(e.msg, cases[i].error);
        close_host(&f);
    }
}

TEST(host_params_are_checked_at_every_reload)
{
    struct err e = { 0 };
    struct fixture f = open_world("lua");
    CHECK_OK(try_host(&f, "lua", false, "{\"split\":{\"max_bytes\":2048}}", &e), e);
    put_file(f.env, "lua/split.lua",
             "return { api = 1, name = 'split', version = '2', kind = 'split', params = {},\n"
             "decide = function() return nil, 'no' end }");
    struct answer a = reload(&f);
    CHECK_EQ(a.rc, ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(a.text,
                   "policy.params.split.max_bytes: there is no such parameter; it has none");
    struct script_bundle_info info;
    script_bundle(f.host, &info);
    CHECK_EQ(info.generation, 1);
    CHECK_STR(info.last_error, a.text);
    close_host(&f);
}

/* A node that has data to serve does not stay down for its scripts, nor for what fits those alone. */
TEST(host_params_of_broken_scripts_do_not_hold_up_the_node)
{
    struct err e = { 0 };
    struct fixture f = open_world("lua");
    put_file(f.env, "lua/split.lua", "return {");
    CHECK_OK(
        try_host(&f, "lua", false, "{\"split\":{\"max_bytes\":2147483648},\"mine\":{\"x\":1}}", &e),
        e);
    struct script_bundle_info info;
    script_bundle(f.host, &info);
    CHECK_STR(info.source, "embedded");
    CHECK_CONTAINS(info.last_error, "split.lua:1:");
    struct pd_view view = busy_view();
    CHECK_EQ(plan(&f, &view).count, 1); /* the defaults */
    close_host(&f);
    f = open_world("lua");
    put_file(f.env, "lua/split.lua", "return {");
    CHECK_OK(try_host(&f, "lua", false, "{\"split\":{\"max_bytes\":2147483648}}", &e), e);
    CHECK_EQ(plan(&f, &view).count, 0); /* they fit: they hold */
    close_host(&f);
}

TEST(host_refuses_a_view_of_an_earlier_plan)
{
    struct fixture f = open_host("lua", false);
    struct pd_view view = busy_view();
    put_file(f.env, "lua/pd.lua",
             "return { api = 1, name = 'pd', version = '2', kind = 'placement',\n"
             "plan = function(view, params, state)\n"
             "for region in view:regions{ limit = 1 } do state.kept = state.kept or region end\n"
             "return {}, tostring(state.kept.id) end }");
    CHECK(reload(&f).changed);
    CHECK_STR(plan(&f, &view).notes, "1");
    struct planned p = plan(&f, &view);
    CHECK_EQ(p.rc, ERR_SCRIPT);
    CHECK_CONTAINS(p.error, "pd.lua:4: this region is of an earlier plan");
    close_host(&f);
}

TEST(host_watches_its_folder)
{
    struct fixture f = open_host("lua", true);
    char before[65], after[65];
    digest_of(&f, before);
    put_file(f.env, "lua/lib/extra.lua", "return { x = 1 }");
    struct script_bundle_info info;
    for (int i = 0; i < 100; i++) {
        sim_world_run_for(f.world, 50000000);
        script_bundle(f.host, &info);
        if (info.generation == 2)
            break;
    }
    CHECK_EQ(info.generation, 2);
    digest_of(&f, after);
    CHECK(strcmp(before, after) != 0);
    close_host(&f);
}

TEST(host_bad_folder_falls_back_to_the_embedded)
{
    struct err e = { 0 };
    struct fixture f = { .world = sim_world_new(7, NULL) };
    f.env = sim_world_env(f.world);
    const struct script_config config = { .lua_dir = "nowhere",
                                          .policy = limits,
                                          .session = limits };
    CHECK_OK(script_host_open(f.env, NULL, &config, &f.host, &e), e);
    struct script_bundle_info info;
    script_bundle(f.host, &info);
    CHECK_STR(info.source, "embedded");
    CHECK_CONTAINS(info.last_error, "nowhere");
    close_host(&f);
}

TEST(admin_verbs)
{
    struct fixture f = open_host(NULL, false);
    struct answer a = admin(&f, "status", "{}");
    CHECK_EQ(a.rc, ERR_OK);
    CHECK_STR(a.text, "{\"node_id\":\"18446744073709551615\",\"who\":\"admin:test\"}");
    a = admin(&f, "nonsense", "{}");
    CHECK_EQ(a.rc, ERR_SCRIPT);
    CHECK_CONTAINS(a.text, "there is no verb 'nonsense'");
    a = admin(&f, "log.tail", "{\"lines\":5000}");
    CHECK_EQ(a.rc, ERR_SCRIPT);
    CHECK_CONTAINS(a.text, "lines must be at most 1000");
    a = admin(&f, "namespace.create", "{\"nmae\":\"x\",\"name\":\"y\"}");
    CHECK_CONTAINS(a.text, "there is no argument 'nmae'");
    a = admin(&f, "namespace.create", "{\"name\":\"y\"}");
    CHECK_EQ(a.rc, ERR_SCRIPT);
    CHECK_CONTAINS(a.text, "not in this test");
    a = admin(&f, "status", "not json");
    CHECK_EQ(a.rc, ERR_INVALID_ARGUMENT);
    a = admin(&f, "policy.list", "");
    CHECK_EQ(a.rc, ERR_OK);
    CHECK_CONTAINS(a.text, "\"source\":\"embedded\"");
    CHECK_CONTAINS(a.text, "\"file\":\"pd.lua\"");
    a = admin(&f, "help", "");
    CHECK_CONTAINS(a.text, "namespace.create");
    close_host(&f);
}

TEST(session_evaluates)
{
    struct err e = { 0 };
    struct fixture f = open_host(NULL, false);
    struct script_session *s = NULL;
    CHECK_OK(script_session_open(f.host, "root", &s, &e), e);
    CHECK_STR(eval(&f, s, "1 + 1", NULL).text, "2\n");
    CHECK_STR(eval(&f, s, "x = 40", NULL).text, "");
    CHECK_STR(eval(&f, s, "x + 2, 'text'", NULL).text, "42\ntext\n");
    CHECK_STR(eval(&f, s, "print('a', 1) return nil", NULL).text, "a\t1\nnil\n");
    CHECK_STR(eval(&f, s, "kv.get('k1')", NULL).text, "k1\n");
    CHECK_STR(eval(&f, s, "namespaces()", "table").text,
              " id  name     eventual\n  0  system   false\n100  default  true\n");
    CHECK_STR(eval(&f, s, "u64('18446744073709551615')", "lua").text,
              "u64('18446744073709551615')\n");
    CHECK_STR(eval(&f, s, "{a = 1, b = {true}}", "json").text,
              "{\n  \"a\": 1,\n  \"b\": [\n    true\n  ]\n}\n");
    CHECK_CONTAINS(eval(&f, s, "status().who", NULL).text, "console:root");
    CHECK_CONTAINS(eval(&f, s, "admin.status().who", NULL).text, "console:root");
    CHECK_CONTAINS(eval(&f, s, "help()", NULL).text, "kv.get(key [, namespace])");
    CHECK_CONTAINS(eval(&f, s, "policies()", NULL).text, "embedded");
    struct answer a = eval(&f, s, "for i = 1, 3 do", NULL);
    CHECK(a.incomplete);
    CHECK_EQ(a.rc, ERR_SCRIPT);
    CHECK(!eval(&f, s, "for for", NULL).incomplete);
    a = eval(&f, s, "local t = nil\nreturn t.x", NULL);
    CHECK_EQ(a.rc, ERR_SCRIPT);
    CHECK_CONTAINS(a.text, "console:2: attempt to index local 't'");
    CHECK_CONTAINS(a.text, "2 | return t.x");
    CHECK_CONTAINS(a.text, "stack traceback:");
    CHECK(strstr(a.text, "0x") == NULL); /* no addresses */
    a = eval(&f, s, "while true do end", NULL);
    CHECK_EQ(a.rc, ERR_BUDGET);
    CHECK_STR(eval(&f, s, "x", NULL).text, "40\n"); /* the session goes on */
    CHECK_EQ(eval(&f, s, "kv.put('a', 'b')", NULL).rc, ERR_SCRIPT);
    CHECK_EQ(eval(&f, s, "host.call('kv.get', 5)", NULL).rc, ERR_SCRIPT);
    script_session_close(s);
    close_host(&f);
}

TEST(session_completes)
{
    struct err e = { 0 };
    struct fixture f = open_host(NULL, false);
    struct script_session *s = NULL;
    CHECK_OK(script_session_open(f.host, "root", &s, &e), e);
    struct answer a = complete(&f, s, "return name");
    CHECK_STR(a.text, "namespaces(|");
    CHECK_EQ(a.start, 7);
    CHECK_STR(complete(&f, s, "kv.").text, "get(|scan(|");
    CHECK_STR(complete(&f, s, "admin.namespace.c").text, "create(|");
    CHECK_STR(complete(&f, s, "admin.namespace.create{n").text,
              "name = |namespaces(|next(|nil|not|");
    a = complete(&f, s, "help 'region.");
    CHECK_STR(a.text, "region.list|region.show|");
    CHECK_EQ(a.start, 6);
    CHECK_STR(complete(&f, s, "no.such.").text, "");
    script_session_close(s);
    close_host(&f);
}

TEST(sessions_are_counted_and_apart)
{
    struct err e = { 0 };
    struct fixture f = open_host(NULL, false);
    struct script_session *s[4], *more = NULL;
    for (int i = 0; i < 4; i++)
        CHECK_OK(script_session_open(f.host, "root", &s[i], &e), e);
    CHECK_EQ(script_session_open(f.host, "root", &more, &e), ERR_RESOURCE_EXHAUSTED);
    eval(&f, s[0], "mine = 1 string.upper = nil", NULL);
    CHECK_STR(eval(&f, s[1], "mine == nil and string.upper ~= nil", NULL).text, "true\n");
    script_session_close(s[0]);
    CHECK_OK(script_session_open(f.host, "root", &s[0], &e), e);
    close_host(&f); /* closes what is left */
}

TEST(table_files)
{
    struct err e = { 0 };
    struct value *v = NULL;
    CHECK_OK(script_load_table_text(BYTES("return { a = 1, b = { 'x' } }"), "c.lua", &v, &e), e);
    CHECK_EQ(value_get_number(v, "a", 0), 1);
    value_free(v);
    v = NULL;
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "return {\n a = 1,\n b = }", "c.lua:3:" },
        { "return 5", "c.lua:1: the file must return a table" },
        { "return { f = print }", "function is no value" },
        { "return { a = os.getenv('HOME') }", "c.lua:1:" },
        { "while true do end", "budget" },
        { "local t = {} t.t = t return t", "contains itself" },
        { "\x1bLJ", "bytecode" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(script_load_table_text(BYTES(cases[i].text), "c.lua", &v, &e) != ERR_OK);
        CHECK_CONTAINS(e.msg, cases[i].error);
        CHECK(v == NULL);
    }
}

TEST_MAIN()
