#include "base/slab.h"
#include "base/test.h"

#include <pthread.h>

TEST(slab_has_room_and_comes_back)
{
    struct slab_pool *pool = slab_pool_new(1 << 20);
    static const size_t sizes[] = { 0, 1, 4096, 4097, 65536, 1 << 20, 16 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct slab *s = slab_get(pool, sizes[i]);
        CHECK(s != NULL && s->cap >= sizes[i]);
        CHECK_EQ(slab_pool_live(pool), s->cap);
        memset(s->data, 1, s->cap);
        slab_unref(s);
        CHECK_EQ(slab_pool_live(pool), 0);
    }
    CHECK(slab_get(pool, (16 << 20) + 1) == NULL);
    slab_unref(NULL);
    slab_pool_free(pool);
    slab_pool_free(NULL);
}

TEST(slab_is_reused_only_after_its_last_reference)
{
    struct slab_pool *pool = slab_pool_new(1 << 20);
    struct slab *a = slab_get(pool, 100);
    CHECK(slab_ref(a) == a);
    slab_unref(a);
    struct slab *b = slab_get(pool, 100);
    CHECK(b != a); /* one reference is left */
    slab_unref(a);
    struct slab *c = slab_get(pool, 100);
    CHECK(c == a);
    slab_unref(b), slab_unref(c);
    slab_pool_free(pool);
}

TEST(slab_pool_keeps_no_more_than_its_limit)
{
    struct slab_pool *pool = slab_pool_new(2 * SLAB_MIN);
    struct slab *s[4];
    for (size_t i = 0; i < 4; i++)
        s[i] = slab_get(pool, SLAB_MIN);
    for (size_t i = 0; i < 4; i++)
        slab_unref(s[i]); /* two are kept, two are freed: the leak checker counts them */
    struct slab *again[2] = { slab_get(pool, 1), slab_get(pool, 1) };
    CHECK((again[0] == s[0] || again[0] == s[1]) && (again[1] == s[0] || again[1] == s[1]));
    slab_unref(again[0]), slab_unref(again[1]);
    slab_pool_free(pool);
}

struct channel {
    struct slab *slabs[64];
    _Atomic int ready; /* 0: the owner fills; 1: the threads let go */
    _Atomic int running;
};

static void *let_go(void *user)
{
    struct channel *c = user;
    for (size_t i = 0; i < 64; i++)
        slab_unref(c->slabs[i]);
    return NULL;
}

TEST(slab_references_may_end_on_any_thread)
{
    struct slab_pool *pool = slab_pool_new(1 << 20);
    for (int round = 0; round < 20; round++) {
        struct channel c = { 0 };
        pthread_t t[3];
        for (size_t i = 0; i < 64; i++) {
            c.slabs[i] = slab_get(pool, i % 2 == 0 ? 100 : 5000);
            c.slabs[i]->data[0] = (uint8_t)i;
            slab_ref(c.slabs[i]), slab_ref(c.slabs[i]), slab_ref(c.slabs[i]);
        }
        for (size_t i = 0; i < 3; i++)
            CHECK_EQ(pthread_create(&t[i], NULL, let_go, &c), 0);
        for (size_t i = 0; i < 64; i++) {
            CHECK_EQ(c.slabs[i]->data[0], i); /* ours is still there */
            slab_unref(c.slabs[i]);
            slab_unref(slab_get(pool, 100));
        }
        for (size_t i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
        CHECK_EQ(slab_pool_live(pool), 0);
    }
    slab_pool_free(pool);
}

TEST_MAIN()
