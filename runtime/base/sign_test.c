#include "base/sign.h"
#include "base/test.h"

#include <jansson.h>

static json_t *vectors(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/vectors/ed25519.json", test_shared());
    json_t *root = json_load_file(path, 0, NULL);
    CHECK(root != NULL);
    return root;
}

static struct buf field(const json_t *row, const char *name)
{
    return test_hex(json_string_value(json_object_get(row, name)));
}

TEST(sign_makes_exactly_the_signatures_of_the_vectors)
{
    json_t *root = vectors(), *row;
    size_t i;
    json_array_foreach(json_object_get(root, "sign"), i, row)
    {
        struct buf seed = field(row, "seed"), pk = field(row, "pk"), msg = field(row, "msg"),
                   sig = field(row, "sig");
        struct sign_key key;
        uint8_t made[SIGN_SIZE];
        CHECK_EQ(seed.len, SIGN_SEED_SIZE);
        sign_key_make(&key, seed.data);
        CHECK_BYTES(bytes_from(key.public, SIGN_PUBLIC_SIZE), buf_bytes(&pk));
        sign_make(&key, buf_bytes(&msg), made);
        CHECK_BYTES(bytes_from(made, SIGN_SIZE), buf_bytes(&sig));
        CHECK(sign_check(pk.data, buf_bytes(&msg), buf_bytes(&sig)));
        for (size_t bit = 0; bit < 8 * SIGN_SIZE; bit += 41) {
            made[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(!sign_check(pk.data, buf_bytes(&msg), bytes_from(made, SIGN_SIZE)));
            made[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        sign_key_wipe(&key);
        for (size_t k = 0; k < SIGN_SECRET_SIZE; k++)
            CHECK_EQ(key.secret[k], 0);
        buf_free(&seed), buf_free(&pk), buf_free(&msg), buf_free(&sig);
    }
    CHECK_EQ(i, 37);
    json_decref(root);
}

TEST(sign_check_gives_the_verdicts_of_the_vectors)
{
    json_t *root = vectors(), *row;
    size_t i, valid = 0;
    json_array_foreach(json_object_get(root, "verify"), i, row)
    {
        struct buf pk = field(row, "pk"), msg = field(row, "msg"), sig = field(row, "sig");
        const char *result = json_string_value(json_object_get(row, "result"));
        bool want = strcmp(result, "valid") == 0;
        CHECK(want || strcmp(result, "invalid") == 0);
        CHECK_EQ(sign_check(pk.data, buf_bytes(&msg), buf_bytes(&sig)), want);
        valid += want;
        buf_free(&pk), buf_free(&msg), buf_free(&sig);
    }
    CHECK_EQ(i, 151);
    CHECK(valid > 20 && valid < 151);
    json_decref(root);
}

TEST_MAIN()
