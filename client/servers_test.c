/* The set of servers: what the options and answers may name, and who is next. */
#include "base/test.h"
#include "client_int.h"

static struct flotilla *handle(const char *endpoint)
{
    struct flotilla *f;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o, .endpoint = endpoint, .lazy = true };
    if (flotilla_open(&o, &f, &e) != FLOTILLA_OK)
        fail_msg("open: %s", e.message);
    return f;
}

static int refused(const char *endpoint)
{
    struct flotilla *f = NULL;
    struct flotilla_error e;
    struct flotilla_options o = { .size = sizeof o, .endpoint = endpoint, .lazy = true };
    int rc = flotilla_open(&o, &f, &e);
    CHECK(f == NULL);
    return rc;
}

TEST(servers_are_read_from_a_list)
{
    struct flotilla *f = handle("127.0.0.1:1, [::1]:2 ,unix:/x,127.0.0.1:1");
    CHECK_EQ(f->seed_count, 3); /* the fourth is the first again */
    CHECK_STR(f->conns[0]->endpoint, "127.0.0.1:1");
    CHECK_STR(f->conns[1]->endpoint, "[::1]:2");
    CHECK_STR(f->conns[2]->endpoint, "unix:/x");
    flotilla_close(f);
    CHECK_EQ(refused(""), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(refused("a:1,"), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(refused("a:1,,b:2"), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(refused("a:1, ,b:2"), FLOTILLA_INVALID_ARGUMENT);
    CHECK_EQ(refused("a:1,unix:"), FLOTILLA_INVALID_ARGUMENT);
    char many[CLIENT_ENDPOINTS_MAX * 8 + 16], *at = many;
    for (int i = 0; i <= CLIENT_ENDPOINTS_MAX; i++)
        at += sprintf(at, "%sh:%d", i > 0 ? "," : "", i + 1);
    CHECK_EQ(refused(many), FLOTILLA_INVALID_ARGUMENT);
    *strrchr(many, ',') = '\0';
    flotilla_close(handle(many));
}

TEST(servers_follow_numeric_addresses_alone)
{
    static const char *const good[] = { "127.0.0.1:1", "10.1.2.3:65535", "[::1]:7700",
                                        "[fe80::1]:80" };
    static const char *const bad[] = {
        "",
        "localhost:7700",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "1.2.3:1",
        "::1:7700",
        "[::1]7700",
        "[::1",
        "[::1]:x",
        "unix:/tmp/x",
        "1.2.3.4:1 ",
        " 1.2.3.4:1",
        "[1.2.3.4]:1",
        "1.2.3.4:000001",
        "evil.example:443",
    };
    struct flotilla *f = handle("127.0.0.1:1");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct client_conn *c = client_servers_hinted(f, BYTES(good[i]));
        CHECK(c != NULL);
        CHECK_STR(c->endpoint, good[i]);
        CHECK(client_servers_hinted(f, BYTES(good[i])) == c);
    }
    CHECK_EQ(f->conn_count, 4);
    CHECK_EQ(f->seed_count, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (client_servers_hinted(f, BYTES(bad[i])) != NULL)
            fail_msg("\"%s\" was followed", bad[i]);
    CHECK(client_servers_hinted(f, bytes_from("127.0.0.1:1\0", 12)) == NULL);
    CHECK_EQ(f->conn_count, 4);
    flotilla_close(f);
}

TEST(servers_make_room_by_forgetting_who_is_not_in_use)
{
    char text[32];
    struct flotilla *f = handle("127.0.0.1:1,127.0.0.1:2");
    for (int i = 3; i < 1000; i++) {
        snprintf(text, sizeof text, "127.0.0.1:%d", i);
        CHECK(client_servers_hinted(f, BYTES(text)) != NULL);
    }
    CHECK_EQ(f->conn_count, CLIENT_CONNS_MAX);
    CHECK_STR(f->conns[0]->endpoint, "127.0.0.1:1"); /* the seeds stay */
    CHECK_STR(f->conns[1]->endpoint, "127.0.0.1:2");
    for (size_t i = 2; i < f->conn_count; i++)
        f->conns[i]->state = CLIENT_READY; /* all are in use */
    CHECK(client_servers_hinted(f, BYTES("127.0.0.1:2000")) == NULL);
    f->current = f->conns[7];
    f->conns[7]->state = CLIENT_OFFLINE; /* is asked next */
    CHECK(client_servers_hinted(f, BYTES("127.0.0.1:2000")) == NULL);
    f->conns[9]->state = CLIENT_OFFLINE;
    CHECK(client_servers_hinted(f, BYTES("127.0.0.1:2000")) == f->conns[9]);
    for (size_t i = 2; i < f->conn_count; i++)
        f->conns[i]->state = CLIENT_OFFLINE;
    flotilla_close(f);
}

TEST(servers_next_prefers_who_has_not_just_failed)
{
    struct flotilla *f = handle("127.0.0.1:1,127.0.0.1:2,127.0.0.1:3");
    struct client_conn **c = f->conns;
    CHECK(client_servers_next(f, c[0], 100) == c[1]);
    CHECK(client_servers_next(f, c[2], 100) == c[0]);
    c[1]->retry_at = 150;
    CHECK(client_servers_next(f, c[0], 100) == c[2]);
    CHECK(client_servers_next(f, c[0], 150) == c[1]);
    c[2]->retry_at = 140;
    CHECK(client_servers_next(f, c[0], 100) == c[0]); /* the others have failed */
    c[0]->retry_at = 160;
    CHECK(client_servers_next(f, c[0], 100) == c[2]); /* all have: the first that may be again */
    flotilla_close(f);
}

TEST_MAIN()
