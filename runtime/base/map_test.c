#include "base/map.h"
#include "base/prng.h"
#include "base/test.h"

enum { KEYS = 400 };

static char names[KEYS][8];

static struct bytes name(size_t i)
{
    snprintf(names[i], sizeof names[i], "k%zu", i);
    return BYTES(names[i]);
}

TEST(map_agrees_with_an_array_under_random_puts_and_removes)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct map m;
        struct prng p;
        void *model[KEYS] = { 0 };
        size_t in = 0;
        map_init(&m, 99);
        prng_seed(&p, kind);
        for (int step = 0; step < 60000; step++) {
            size_t i = prng_below(&p, KEYS);
            void *value = &names[prng_below(&p, KEYS)];
            if (prng_chance(&p, step / 10000 % 2 == 0 ? 6 : 3, 10)) {
                void *old = &m;
                CHECK_EQ(kind ? map_put(&m, name(i), value, &old) : map_put_u64(&m, i, value, &old),
                         ERR_OK);
                CHECK(old == model[i]);
                in += model[i] == NULL;
                model[i] = value;
            } else {
                CHECK((kind ? map_remove(&m, name(i)) : map_remove_u64(&m, i)) == model[i]);
                in -= model[i] != NULL;
                model[i] = NULL;
            }
            i = prng_below(&p, KEYS);
            CHECK((kind ? map_get(&m, name(i)) : map_get_u64(&m, i)) == model[i]);
            CHECK_EQ(m.count, in);
        }
        size_t walked = 0;
        map_for_each(e, &m) {
            size_t i = kind ? (size_t)atoi((const char *)e->key.data + 1) : e->id;
            CHECK(e->value == model[i]);
            walked++;
        }
        CHECK_EQ(walked, in);
        map_free(&m);
        CHECK_EQ(m.count, 0);
    }
}

TEST(map_empty_answers_and_the_empty_key_is_a_key)
{
    struct map m;
    int a, b;
    map_init(&m, 1);
    CHECK(map_get(&m, BYTES("x")) == NULL && map_remove_u64(&m, 0) == NULL);
    CHECK_EQ(map_put(&m, (struct bytes){ NULL, 0 }, &a, NULL), ERR_OK);
    CHECK(map_get(&m, BYTES("")) == &a);
    CHECK_EQ(map_put(&m, bytes_from("\0", 1), &b, NULL), ERR_OK);
    CHECK(map_get(&m, BYTES("")) == &a && map_get(&m, bytes_from("\0", 1)) == &b);
    map_free(&m);
}

TEST(map_u64_keys_of_every_width)
{
    struct map m;
    map_init(&m, 2);
    for (unsigned i = 0; i < 64; i++)
        CHECK_EQ(map_put_u64(&m, 1ull << i, &names[i], NULL), ERR_OK);
    for (unsigned i = 0; i < 64; i++)
        CHECK(map_get_u64(&m, 1ull << i) == &names[i]);
    CHECK(map_get_u64(&m, 0) == NULL);
    map_free(&m);
}

TEST(map_order_depends_on_the_seed)
{
    struct map a, b;
    map_init(&a, 1), map_init(&b, 2);
    for (size_t i = 0; i < 100; i++) {
        CHECK_EQ(map_put_u64(&a, i, &names[0], NULL), ERR_OK);
        CHECK_EQ(map_put_u64(&b, i, &names[0], NULL), ERR_OK);
    }
    size_t in_a = 0, in_b = 0, different = 0;
    for (struct map_entry *e, *f; (e = map_next(&a, &in_a)) && (f = map_next(&b, &in_b));)
        different += e->id != f->id;
    CHECK(different > 50);
    map_free(&a), map_free(&b);
}

TEST_MAIN()
