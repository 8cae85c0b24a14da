/* The memory engine under threads, in the machine's world: for the thread sanitizer above all. */
#include "engine_contract.h"
#include "uv/world.h"

TEST(readers_see_whole_batches)
{
    struct world *world = NULL;
    struct err e = { 0 };
    CHECK_OK(world_open(NULL, &world, &e), e);
    char *dir = test_dir();
    struct engine_subject subject = {
        .ops = &engine_mem, .env = world_env(world), .dir = dir, .memtable_bytes = 64 << 10
    };
    engine_contract_readers_see_whole_batches(&subject);
    free(dir);
    world_close(world);
}

TEST_MAIN()
