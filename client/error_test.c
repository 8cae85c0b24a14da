/* Codes are those of the wire, and every one has its class. */
#include "base/test.h"
#include "flotilla/client.h"

TEST(flotilla_code_numbers_are_those_of_the_wire)
{
#define CHECK_SAME(number, name)                                                                   \
    if (number < 64)                                                                               \
        CHECK_STR(flotilla_code_name(number), #name);
    ERR_TABLE(CHECK_SAME)
#undef CHECK_SAME
    CHECK_STR(flotilla_code_name(FLOTILLA_CONFLICT), "CONFLICT");
    CHECK_STR(flotilla_code_name(FLOTILLA_UNDETERMINED), "UNDETERMINED");
    CHECK_STR(flotilla_code_name(FLOTILLA_OVERFLOW), "OVERFLOW");
    CHECK_STR(flotilla_code_name(2), "UNKNOWN");
    CHECK_STR(flotilla_code_name(-1), "UNKNOWN");
    CHECK_STR(flotilla_code_name(64), "UNKNOWN");
}

TEST(flotilla_error_class_is_cautious)
{
    unsigned count[5] = { 0 };
    for (int code = 0; code < 64; code++)
        if (err_is_wire((unsigned)code))
            count[flotilla_error_class(code)]++;
    CHECK_EQ(count[FLOTILLA_CLASS_OK], 1);
    CHECK_EQ(count[FLOTILLA_CLASS_UNDETERMINED],
             1); /* every known code but one has been thought about */
    CHECK_EQ(count[FLOTILLA_CLASS_RETRY_SAME], 3);
    CHECK_EQ(count[FLOTILLA_CLASS_RETRY_ROUTE], 3);
    CHECK_EQ(flotilla_error_class(2), FLOTILLA_CLASS_UNDETERMINED); /* a newer server's */
    CHECK_EQ(flotilla_error_class(63), FLOTILLA_CLASS_UNDETERMINED);
    CHECK_EQ(flotilla_error_class(FLOTILLA_CONFLICT), FLOTILLA_CLASS_FINAL);
}

TEST_MAIN()
