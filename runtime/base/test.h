/* The test harness: TEST(name) registers itself, CHECK_* report values, one program per file.
 *
 *     #include "base/test.h"
 *     TEST(buf_append_grows) { CHECK_EQ(...); }
 *     TEST_MAIN()
 *
 * It runs over cmocka and prints cmocka's closing lines. `program NAME` runs the tests whose name contains NAME. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

struct test_case {
    const char *name;
    void (*run)(void **state);
    struct test_case *next;
};
extern struct test_case *test_cases; /* the one mutable global of a test program */

#define TEST(name)                                                                                 \
    static void test_##name(void **state);                                                         \
    static struct test_case case_##name = { #name, test_##name, NULL };                            \
    __attribute__((constructor)) static void add_##name(void)                                      \
    {                                                                                              \
        case_##name.next = test_cases;                                                             \
        test_cases = &case_##name;                                                                 \
    }                                                                                              \
    static void test_##name(void **state __attribute__((unused)))

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            fail_msg("%s:%d: %s is false", __FILE__, __LINE__, #cond);                             \
    } while (0)

#define CHECK_EQ(have, want)                                                                       \
    do {                                                                                           \
        long long have_ = (long long)(have), want_ = (long long)(want);                            \
        if (have_ != want_)                                                                        \
            fail_msg("%s:%d: %s is %lld (0x%llx), not %lld (0x%llx)", __FILE__, __LINE__, #have,   \
                     have_, (unsigned long long)have_, want_, (unsigned long long)want_);          \
    } while (0)

/* `e` is a struct err: its text is printed when the code is not ERR_OK. */
#define CHECK_OK(call, e)                                                                          \
    do {                                                                                           \
        err_t rc_ = (call);                                                                        \
        if (rc_ != ERR_OK)                                                                         \
            fail_msg("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, err_name(rc_), (e).msg);      \
    } while (0)

#define CHECK_STR(have, want)                                                                      \
    do {                                                                                           \
        const char *have_ = (have), *want_ = (want);                                               \
        if (have_ == NULL || strcmp(have_, want_) != 0)                                            \
            fail_msg("%s:%d: %s is \"%s\", not \"%s\"", __FILE__, __LINE__, #have,                 \
                     have_ ? have_ : "(null)", want_);                                             \
    } while (0)

#define CHECK_CONTAINS(have, part)                                                                 \
    do {                                                                                           \
        const char *have_ = (have), *part_ = (part);                                               \
        if (have_ == NULL || strstr(have_, part_) == NULL)                                         \
            fail_msg("%s:%d: %s is \"%s\", without \"%s\"", __FILE__, __LINE__, #have,             \
                     have_ ? have_ : "(null)", part_);                                             \
    } while (0)

#define CHECK_BYTES(have, want)                                                                    \
    do {                                                                                           \
        struct bytes have_ = (have), want_ = (want);                                               \
        if (!bytes_equal(have_, want_))                                                            \
            test_fail_bytes(__FILE__, __LINE__, #have, have_, want_);                              \
    } while (0)

void test_fail_bytes(const char *file, int line, const char *what, struct bytes have,
                     struct bytes want);
int test_main(int argc, char **argv);

/* A fresh directory under $TMPDIR or /tmp, removed with all it holds when the program ends. Static text per call is
 * not shared: the caller frees it. */
char *test_dir(void);
/* The folder with the shared vectors and scripts: $FLOTILLA_SHARED, else ../shared beside the source tree. Skips the
 * test visibly where it is missing, fails where it is missing and CI=true. Static. */
const char *test_shared(void);
/* Decodes hex into new memory (`ret->data`), aborts on bad hex: test data is ours. */
struct buf test_hex(const char *hex);

#define TEST_MAIN()                                                                                \
    struct test_case *test_cases;                                                                  \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return test_main(argc, argv);                                                              \
    }
