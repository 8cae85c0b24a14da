/* Histories as JSON lines: what is read is written the same way twice, and judged the same way twice. */
#include "fuzz.h"
#include "sim_check/linear.h"

enum { OPS_MAX = 64, BUDGET = 500 };

static enum linear_verdict judge(const struct history *h)
{
    struct linear_report report;
    struct linear_options options = { .budget = BUDGET, .explanations = 1 };
    enum linear_verdict verdict = linear_check(h, &options, &report);
    bool no = false;
    FUZZ_CHECK(report.operations == history_count(h));
    for (size_t i = 0; i < report.count; i++)
        no = no || report.registers[i].verdict == LINEAR_NO;
    FUZZ_CHECK(no == (verdict == LINEAR_NO));
    linear_report_free(&report);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = fuzz_copy(bytes_from(data, len));
    struct history *h = history_new(), *again = history_new();
    struct buf text = { 0 }, twice = { 0 };
    struct err e = { 0 };
    if (history_read(in, h, &e) != ERR_OK)
        FUZZ_CHECK(e.msg[0] != '\0');
    FUZZ_CHECK(history_write(h, &text) ==
               ERR_OK); /* what was read before a bad line is a history too */
    FUZZ_CHECK(history_read(buf_bytes(&text), again, &e) == ERR_OK);
    FUZZ_CHECK(history_write(again, &twice) == ERR_OK);
    FUZZ_CHECK(bytes_equal(buf_bytes(&text), buf_bytes(&twice)));
    if (history_count(h) <= OPS_MAX)
        FUZZ_CHECK(judge(h) == judge(again));
    buf_free(&text), buf_free(&twice);
    history_free(h), history_free(again);
    free((void *)(uintptr_t)in.data);
    return 0;
}
