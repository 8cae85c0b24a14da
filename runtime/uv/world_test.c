/* The machine's world keeps the contract, and what is true of machines alone. */
#include "base/test.h"

#include <unistd.h>

#include "base/container.h"
#include "env_contract/env_contract.h"
#include "uv/world.h"

/* ---- The contract ---- */

static struct env *machine_open(struct env_contract *c)
{
    struct world *world = NULL;
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
    c->world = world;
    c->dir = c->unix_dir = test_dir();
    c->uid = (uint32_t)getuid();
    return world_env(world);
}

static void machine_run(struct env_contract *c)
{
    world_run(c->world);
}

static void machine_close(struct env_contract *c)
{
    world_close(c->world);
    free((char *)(uintptr_t)c->dir);
}

static struct env_contract machine = {
    .open = machine_open, .run = machine_run, .close = machine_close, .threads = true
};

#define ADD(name)                                                                                  \
    TEST(contract_##name)                                                                          \
    {                                                                                              \
        env_contract_##name(&machine);                                                             \
    }
ENV_CONTRACT(ADD)

TEST_MAIN()
