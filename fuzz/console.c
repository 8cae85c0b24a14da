/* Lines at the console: the first byte chooses a format, or completion; the rest is what
 * somebody typed. Lua runs in its chains, so every line ends within its budget with an answer,
 * and the session lives on. The world is simulated: lanes are virtual, and the node behind the
 * door knows two answers. */
#include "fuzz.h"
#include "script/script.h"
#include "sim_world/world.h"

static const struct script_limits limits = { .memory_bytes = 4 << 20,
                                             .instructions = 50000,
                                             .deadline_ms = 10000 };

static void door(void *user, const char *name, const struct value *arguments,
                 struct script_call *call)
{
    (void)user;
    if (strcmp(name, "kv.get") == 0) {
        struct value *v = value_new(VALUE_NIL);
        value_put_bytes(v, value_get_bytes(arguments, "key", BYTES("?")));
        script_call_answer(call, ERR_OK, NULL, v);
    } else if (strcmp(name, "status") == 0) {
        struct value *v = value_new(VALUE_MAP);
        value_put_u64(value_set(v, "node_id"), UINT64_MAX);
        script_call_answer(call, ERR_OK, NULL, v);
    } else {
        script_call_answer(call, ERR_UNIMPLEMENTED, "not at this console", NULL);
    }
}

struct answer {
    bool there;
    err_t rc;
    size_t len;
    char text[8];
};

static void on_eval(void *user, const struct script_answer *answer)
{
    struct answer *a = user;
    *a = (struct answer){ .there = true, .rc = answer->rc, .len = answer->output.len };
    if (answer->output.len > 0)
        memcpy(a->text, answer->output.data, a->len < sizeof a->text ? a->len : sizeof a->text);
    FUZZ_CHECK(answer->rc == ERR_OK || answer->output.len > 0); /* an error says what it is */
}

static void on_words(void *user, size_t start, const struct bytes *words, size_t count)
{
    struct answer *a = user;
    *a = (struct answer){ .there = true, .len = start };
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(words[i].len == 0 || words[i].data != NULL);
}

static void wait_for(struct sim_world *world, const struct answer *a)
{
    while (!a->there)
        FUZZ_CHECK(sim_world_turn(world));
}

static void type_line(struct sim_world *world, struct script_session *session, unsigned how,
                      struct bytes line)
{
    static const char *const formats[] = { "table", "lua", "json" };
    struct answer a = { 0 };
    if (how < 3) {
        script_session_eval(session, line, formats[how], 0, on_eval, &a);
        wait_for(world, &a);
        FUZZ_CHECK(a.rc == ERR_OK || a.rc == ERR_SCRIPT || a.rc == ERR_BUDGET ||
                   a.rc == ERR_TOO_LARGE || a.rc == ERR_DEADLINE_EXCEEDED);
    } else {
        script_session_complete(session, line, on_words, &a);
        wait_for(world, &a);
        FUZZ_CHECK(a.len <= line.len);
    }
    /* The session is still there; what the line left behind may have used up its memory. */
    a = (struct answer){ 0 };
    script_session_eval(session, BYTES("1 + 1"), "table", 0, on_eval, &a);
    wait_for(world, &a);
    FUZZ_CHECK((a.rc == ERR_OK && a.len == 2 && memcmp(a.text, "2\n", 2) == 0) ||
               a.rc == ERR_BUDGET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct err e = { 0 };
    struct sim_world *world = sim_world_new(1, NULL);
    struct script_host *host = NULL;
    struct script_session *session = NULL;
    const struct script_config config = {
        .policy = limits, .session = limits, .sessions_max = 1, .door = { door, NULL }
    };
    FUZZ_CHECK(script_host_open(sim_world_env(world), NULL, &config, &host, &e) == ERR_OK);
    FUZZ_CHECK(script_session_open(host, "root", &session, &e) == ERR_OK);
    type_line(world, session, data[0] % 4, bytes_from(data + 1, len - 1));
    script_session_close(session);
    script_host_close(host);
    sim_world_close(world);
    return 0;
}
