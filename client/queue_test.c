/* Completion queues: every tag comes back once, with what its operation came to. */
#include <stdlib.h>

#include "fake_server.inc"

#define KEY FLOTILLA_TEXT("key")

/* Gets find "abc", CAS conflicts with "now" of version 44; the rest is OK. */
static void serve(struct fake *s)
{
    static const uint8_t found[] = { 0x0a, 0, 0x10, 1, 0x1a, 3, 'a', 'b', 'c' };
    static const uint8_t conflict[] = { 0x0a, 17, 0x08, 18, 0x12, 2,   'n', 'o',  0x1a, 9,
                                        0x08, 44, 0x1a, 3,  'n',  'o', 'w', 0x20, 1 };
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f))
        if (f.method == NET_RAW_GET)
            fake_answer(s, &f, bytes_from(found, sizeof found));
        else if (f.method == NET_CAS)
            fake_answer(s, &f, bytes_from(conflict, sizeof conflict));
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
}

static void never_answer(struct fake *s)
{
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f)) {}
}

struct bench {
    struct fake s;
    struct flotilla *db;
    struct flotilla_queue *q;
};

static struct bench *begin(fake_script *script)
{
    struct bench *b = calloc(1, sizeof *b);
    b->s.scripts[0] = script;
    fake_start(&b->s);
    b->db = fake_connect(&b->s, 10000);
    CHECK_EQ(flotilla_queue_open(b->db, &b->q, NULL), FLOTILLA_OK);
    return b;
}

static void end(struct bench *b)
{
    flotilla_queue_close(b->q);
    flotilla_close(b->db);
    fake_stop(&b->s);
    free(b);
}

static int submit(struct bench *b, enum flotilla_op_kind kind, uint64_t tag)
{
    struct flotilla_op op = {
        .kind = kind, .ns = 1, .key = KEY, .value = FLOTILLA_TEXT("v"), .want_current = true
    };
    return flotilla_queue_submit(b->q, &op, tag, NULL);
}

TEST(queue_gives_back_every_tag_once)
{
    enum { N = 1000 };
    struct bench *b = begin(serve);
    struct flotilla_completion c;
    bool seen[N] = { false };
    CHECK(!flotilla_queue_next(b->q, -1, &c)); /* nothing is pending: it does not wait */
    for (uint64_t i = 0; i < N; i++)
        CHECK_EQ(submit(b, i % 2 == 0 ? FLOTILLA_OP_GET : FLOTILLA_OP_RAW_PUT, i), FLOTILLA_OK);
    CHECK_EQ(flotilla_queue_pending(b->q), N);
    while (flotilla_queue_next(b->q, -1, &c)) {
        CHECK(c.tag < N && !seen[c.tag]);
        seen[c.tag] = true;
        CHECK_EQ(c.code, FLOTILLA_OK);
        CHECK_STR(c.message, "");
        CHECK_EQ(c.value.data != NULL, c.tag % 2 == 0);
        if (c.tag % 2 == 0)
            CHECK_STR(c.value.data, "abc"); /* with a NUL behind */
    }
    CHECK_EQ(flotilla_queue_pending(b->q), 0);
    for (size_t i = 0; i < N; i++)
        CHECK(seen[i]);
    end(b);
}

TEST(queue_copies_what_was_borrowed)
{
    struct bench *b = begin(serve);
    struct flotilla_completion c;
    CHECK_EQ(submit(b, FLOTILLA_OP_CAS_PUT, UINT64_MAX), FLOTILLA_OK);
    CHECK(flotilla_queue_next(b->q, 5000, &c));
    CHECK(c.tag == UINT64_MAX);
    CHECK_EQ(c.code, FLOTILLA_CONFLICT);
    CHECK_STR(c.message, "no");
    CHECK_EQ(c.version, 44);
    CHECK_BYTES(bytes_from(c.value.data, c.value.len), BYTES("now"));
    end(b);
}

TEST(queue_does_not_wait_longer_than_it_may)
{
    struct bench *b = begin(never_answer);
    struct flotilla_completion c;
    CHECK_EQ(submit(b, FLOTILLA_OP_GET, 1), FLOTILLA_OK);
    CHECK(!flotilla_queue_next(b->q, 0, &c));
    CHECK(!flotilla_queue_next(b->q, 30, &c));
    CHECK_EQ(flotilla_queue_pending(b->q), 1);
    while (atomic_load(&b->s.requests) < 1) /* and yet it works on the connection */
        CHECK(!flotilla_queue_next(b->q, 0, &c));
    end(b);
}

TEST(queue_refuses_what_is_wrong_and_forgets_it)
{
    struct bench *b = begin(serve);
    struct flotilla_error e;
    struct flotilla_op op = { .kind = FLOTILLA_OP_GET, .ns = 1 };
    CHECK_EQ(flotilla_queue_submit(b->q, &op, 1, &e), FLOTILLA_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.message, "the key is empty");
    CHECK_EQ(flotilla_queue_pending(b->q), 0);
    end(b);
}

TEST(queue_close_lets_operations_go_on)
{
    struct bench *b = begin(serve);
    struct flotilla_completion c;
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(submit(b, FLOTILLA_OP_GET, i), FLOTILLA_OK);
    CHECK(flotilla_queue_next(b->q, -1, &c));
    flotilla_queue_close(b->q);
    while (flotilla_pending(b->db) > 0)
        flotilla_wait(b->db, -1);
    CHECK_EQ(flotilla_queue_open(b->db, &b->q, NULL), FLOTILLA_OK);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(submit(b, FLOTILLA_OP_GET, i), FLOTILLA_OK);
    end(b); /* with everything still under way */
}

TEST_MAIN()
