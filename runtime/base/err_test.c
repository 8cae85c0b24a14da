#include "base/test.h"

#include <errno.h>

TEST(err_wrap_reads_from_the_outside_in)
{
    struct err e = { 0 };
    CHECK_EQ(err_set(&e, ERR_IO, "disk %d", 3), ERR_IO);
    CHECK_EQ(err_wrap(&e, ERR_DATA_LOSS, "could not open \"%s\"", "x"), ERR_DATA_LOSS);
    CHECK_STR(e.msg, "could not open \"x\": disk 3");
    CHECK_EQ(e.code, ERR_DATA_LOSS);
}

TEST(err_long_texts_are_cut_not_overrun)
{
    struct err e = { 0 };
    char long_text[3000];
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    err_set(&e, ERR_IO, "%s", long_text);
    err_wrap(&e, ERR_IO, "%s", "outer");
    CHECK_EQ(strlen(e.msg), sizeof e.msg - 1);
    CHECK_EQ(strncmp(e.msg, "outer: aaa", 10), 0);
}

TEST(err_null_context_is_welcome)
{
    CHECK_EQ(err_set(NULL, ERR_IO, "x"), ERR_IO);
    CHECK_EQ(err_wrap(NULL, ERR_IO, "x"), ERR_IO);
    CHECK_EQ(err_errno(NULL, ENOSPC, "x"), ERR_DISK_FULL);
}

TEST(err_names_and_wire_codes)
{
    CHECK_STR(err_name(ERR_CONFLICT), "CONFLICT");
    CHECK_STR(err_name((err_t)2), "UNKNOWN");
    CHECK(err_is_wire(ERR_UNDETERMINED) && !err_is_wire(ERR_SHORT) && !err_is_wire(2));
    CHECK_EQ(err_to_wire(ERR_CONFLICT), ERR_CONFLICT);
    CHECK_EQ(err_to_wire(ERR_IO), ERR_INTERNAL);
}

TEST_MAIN()
