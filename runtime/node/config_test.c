#include "node/config.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static struct node_config config_sound(void)
{
    struct node_config c;
    node_config_defaults(&c);
    strcpy(c.data_dir, "/var/lib/flotilla");
    return c;
}

TEST(node_config_defaults_pass_their_own_check)
{
    struct err e = { 0 };
    struct node_config c = config_sound();
    CHECK_OK(node_config_check(&c, &e), e);
}

TEST(node_config_check_names_option_and_remedy)
{
    struct err e = { 0 };
    struct node_config c = config_sound();
    c.data_dir[0] = 0;
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "data_dir");

    c = config_sound();
    strcpy(c.address, "0.0.0.0:7700");
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "allow_remote");
    c.allow_remote = true;
    CHECK_OK(node_config_check(&c, &e), e);

    c = config_sound();
    strcpy(c.http.address, "192.168.1.1:80");
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "http.address");

    c = config_sound();
    strcpy(c.console.address, "127.0.0.1:9");
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "Unix socket");

    c = config_sound();
    strcpy(c.init.cluster_id, "00112233445566778899aabbccddeeff");
    CHECK_OK(node_config_check(&c, &e), e);
    strcpy(c.init.cluster_id, "00112233445566778899aabbccddeef");
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);

    c = config_sound();
    c.drain_ms = 5000;
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    c = config_sound();
    c.storage.background_jobs = 2;
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    c = config_sound();
    c.tso.count_max = (1 << 18) + 1;
    CHECK_EQ(node_config_check(&c, &e), ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(e.msg, "262144");
}

static struct node_config config_of_three(void)
{
    struct node_config c = config_sound();
    strcpy(c.init.cluster_id, "00112233445566778899aabbccddeeff");
    strcpy(c.address, "127.0.0.1:7702");
    c.init.store_id = 2;
    c.cluster.count = 3;
    for (unsigned i = 0; i < 3; i++) {
        c.cluster.stores[i].id = i + 1;
        snprintf(c.cluster.stores[i].address, NODE_ADDRESS_MAX, "127.0.0.1:770%u", i + 1);
    }
    return c;
}

static void config_refused(const struct node_config *c, const char *begin, const char *in)
{
    struct err e = { 0 };
    CHECK_EQ(node_config_check(c, &e), ERR_INVALID_ARGUMENT);
    CHECK_EQ(strncmp(e.msg, begin, strlen(begin)), 0);
    CHECK_CONTAINS(e.msg, in);
}

TEST(node_config_check_knows_what_a_cluster_needs)
{
    struct err e = { 0 };
    struct node_config c = config_of_three();
    CHECK_OK(node_config_check(&c, &e), e);
    CHECK_EQ(node_config_self(&c), &c.cluster.stores[1]);

    c.init.store_id = 4;
    CHECK(node_config_self(&c) == NULL);
    config_refused(&c, "cluster.stores ", "no store 4");
    c = config_of_three();
    strcpy(c.address, "127.0.0.1:7700");
    config_refused(&c, "cluster.stores ", "write the same in both");
    c = config_of_three();
    c.init.cluster_id[0] = 0;
    config_refused(&c, "init.cluster_id ", "on every node");

    c = config_of_three();
    c.cluster.stores[2].id = 1;
    config_refused(&c, "cluster.stores ", "store 1 twice");
    c = config_of_three();
    strcpy(c.cluster.stores[2].address, "127.0.0.1:7701");
    config_refused(&c, "cluster.stores ", "twice, for stores 1 and 3");
    c = config_of_three();
    c.cluster.stores[0].id = 0;
    config_refused(&c, "cluster.stores ", "begin at 1");

    c = config_of_three();
    strcpy(c.cluster.stores[0].address, "127.0.0.1:0"); /* drawn: nobody could know it */
    config_refused(&c, "cluster.stores ", "127.0.0.1:7701");
    strcpy(c.cluster.stores[0].address, "unix:/tmp/a");
    config_refused(&c, "cluster.stores ", "127.0.0.1:7701");
    strcpy(c.cluster.stores[0].address, "10.0.0.1:7701");
    config_refused(&c, "cluster.stores ", "allow_remote");
    c.allow_remote = true;
    CHECK_OK(node_config_check(&c, &e), e);

    c.cluster.count = 0; /* a node alone */
    CHECK(node_config_self(&c) == NULL);
    CHECK_OK(node_config_check(&c, &e), e);
}

TEST(node_memory_divide_gives_parts_that_fit)
{
    struct node_config c = config_sound();
    for (uint64_t mib = 64; mib <= 1 << 20; mib *= 2) {
        c.memory_bytes = mib << 20;
        struct node_memory m = node_memory_divide(&c);
        CHECK(m.block_cache >= 8 << 20);
        CHECK(m.memtables >= 16 << 20);
        if (mib >= 256)
            CHECK(m.block_cache + m.memtables + m.requests + m.lua <= c.memory_bytes);
    }
}

TEST_MAIN()
