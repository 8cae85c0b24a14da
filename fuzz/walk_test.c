#include "walk.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/test.h"
#include "fuzz.h"

/* A folder of three files, one of them empty. */
static void corpus_make(char *dir)
{
    static const char *const contents[] = { "{\"a\":[1,2,3]}", "", "0123456789abcdef" };
    char path[64];
    CHECK(mkdtemp(dir) != NULL);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%u", dir, 2 - i);
        FILE *f = fopen(path, "wb");
        CHECK(f != NULL);
        fputs(contents[i], f);
        fclose(f);
    }
}

static void corpus_remove(const char *dir)
{
    char path[64];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%u", dir, i);
        unlink(path);
    }
    rmdir(dir);
}

static uint32_t checksum(char *dir, uint64_t seed, uint64_t from, uint64_t to)
{
    struct walk *w = walk_open(&dir, 1, seed);
    uint32_t crc = 0;
    for (uint64_t i = from; i < to; i++) {
        struct bytes in = walk_input(w, i);
        CHECK(in.len <= WALK_INPUT_MAX);
        crc = crc32c(crc, in);
        free((void *)(uintptr_t)in.data);
    }
    walk_free(w);
    return crc;
}

/* Golden: the same on every machine, with every compiler. Another way to mutate is another number here. */
TEST(walk_is_a_function_of_corpus_and_seed)
{
    char dir[] = "/tmp/flotilla-walk-XXXXXX";
    corpus_make(dir);
    CHECK_EQ(checksum(dir, 1, 0, 3000), 0x6e691d99);
    CHECK(checksum(dir, 2, 3, 3000) != checksum(dir, 1, 3, 3000));
    corpus_remove(dir);
}

TEST(walk_begins_with_the_files_by_name_and_mutants_have_numbers)
{
    char dir[] = "/tmp/flotilla-walk-XXXXXX", *path = dir, name[64];
    corpus_make(dir);
    struct walk *w = walk_open(&path, 1, 1);
    CHECK_EQ(walk_files(w), 3);
    struct bytes first = walk_input(w, 0), second = walk_input(w, 1), late = walk_input(w, 1000);
    CHECK_BYTES(first, BYTES("0123456789abcdef"));
    CHECK_EQ(second.len, 0);
    CHECK_CONTAINS(walk_name(w, 0, name), "/0");
    CHECK_CONTAINS(walk_name(w, 1000, name), "mutant 997");
    struct bytes again = walk_input(w, 1000); /* without the ones before it */
    CHECK_BYTES(again, late);
    free((void *)(uintptr_t)first.data), free((void *)(uintptr_t)second.data);
    free((void *)(uintptr_t)late.data), free((void *)(uintptr_t)again.data);
    walk_free(w);
    corpus_remove(dir);
}

TEST_MAIN()
