/* The simulated world keeps the contract, under many seeds, and is the same for the same seed. */
#include "base/test.h"

#include "base/container.h"
#include "env_contract/env_contract.h"
#include "sim_world/world.h"

/* ---- The contract ---- */

static uint64_t seed;

static struct env *sim_open(struct env_contract *c)
{
    struct sim_world *world = sim_world_new(seed, NULL);
    struct env *env = sim_world_env(world);
    struct err e = { 0 };
    CHECK_OK(env_mkdir(env, "/test", &e), e);
    c->world = world;
    c->dir = c->unix_dir = "/test";
    c->uid = 1000;
    return env;
}

static void sim_run(struct env_contract *c)
{
    CHECK(sim_world_run(c->world)); /* false: everybody waits for nothing */
}

static void sim_close(struct env_contract *c)
{
    sim_world_close(c->world);
}

static struct env_contract virtual = { .open = sim_open, .run = sim_run, .close = sim_close };

enum { SEEDS = 5 };

#define ADD(name)                                                                                  \
    TEST(contract_##name)                                                                          \
    {                                                                                              \
        for (seed = 1; seed <= SEEDS; seed++)                                                      \
            env_contract_##name(&virtual);                                                         \
    }
ENV_CONTRACT(ADD)

TEST_MAIN()
