#include "base/arena.h"
#include "base/prng.h"
#include "base/test.h"

TEST(arena_pieces_are_aligned_and_do_not_overlap)
{
    struct arena a;
    struct prng p;
    uint8_t first[101];
    prng_seed(&p, 1);
    for (size_t from = 0; from < 3; from++) {
        arena_init(&a, 1 << 20, first + from, sizeof first - from);
        uint8_t *piece[200];
        size_t len[200];
        for (size_t i = 0; i < 200; i++) {
            len[i] = prng_below(&p, 300);
            piece[i] = arena_alloc(&a, len[i]);
            CHECK(piece[i] != NULL && (uintptr_t)piece[i] % 16 == 0);
            memset(piece[i], (int)i, len[i]);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < len[i]; k++)
                CHECK_EQ(piece[i][k], (uint8_t)i);
        arena_free(&a);
    }
}

TEST(arena_cap_holds_exactly)
{
    struct arena a;
    arena_init(&a, 1024, NULL, 0);
    for (int i = 0; i < 64; i++)
        CHECK(arena_alloc(&a, 16) != NULL);
    CHECK(!a.refused);
    CHECK(arena_alloc(&a, 1) == NULL && a.refused);
    CHECK_EQ(a.used, 1024);
    arena_reset(&a);
    CHECK(!a.refused && a.used == 0);
    CHECK(arena_alloc(&a, 1025) == NULL);
    CHECK(arena_alloc(&a, SIZE_MAX) == NULL);
    CHECK(arena_alloc(&a, SIZE_MAX - 7) == NULL);
    CHECK(arena_zalloc(&a, SIZE_MAX / 2, 3) == NULL);
    CHECK(arena_alloc(&a, 1024) != NULL);
    arena_free(&a);
}

TEST(arena_small_work_stays_on_the_callers_memory)
{
    struct arena a;
    _Alignas(16) uint8_t first[256];
    arena_init(&a, 4096, first, sizeof first);
    uint8_t *p = arena_alloc(&a, 200);
    CHECK(p >= first && p < first + sizeof first && a.chunks == NULL);
    CHECK(arena_alloc(&a, 200) != NULL && a.chunks != NULL);
    arena_reset(&a);
    CHECK(a.chunks == NULL && arena_alloc(&a, 10) == first);
    arena_free(&a);
}

TEST(arena_zalloc_clears_and_size_zero_is_an_address)
{
    struct arena a;
    uint8_t first[64];
    memset(first, 0xff, sizeof first);
    arena_init(&a, 64, first, sizeof first);
    uint8_t *p = arena_zalloc(&a, 4, 4);
    for (size_t i = 0; i < 16; i++)
        CHECK_EQ(p[i], 0);
    CHECK(arena_alloc(&a, 0) != NULL);
    arena_free(&a);
    arena_free(&(struct arena){ 0 });
}

TEST_MAIN()
