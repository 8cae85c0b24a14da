/* Sizes and durations as text. */
#include "base/units.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t size;
};

/* From the largest to the smallest, which has size 1. */
static const struct unit byte_units[] = {
    { "TiB", 1ull << 40 },
    { "GiB", 1ull << 30 },
    { "MiB", 1ull << 20 },
    { "KiB", 1ull << 10 },
    { "B", 1 },
};
static const struct unit time_units[] = {
    { "d", 86400000000000 }, { "h", 3600000000000 }, { "m", 60000000000 }, { "s", 1000000000 },
    { "ms", 1000000 },       { "us", 1000 },         { "ns", 1 },
};
enum {
    BYTE_UNITS = sizeof byte_units / sizeof *byte_units,
    TIME_UNITS = sizeof time_units / sizeof *time_units
};

bool units_decimal(struct bytes text, uint64_t *ret)
{
    uint64_t x = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, digit, &x))
            return false;
    }
    *ret = x;
    return true;
}

static err_t parse(const char *text, const struct unit *units, size_t count, const char *example,
                   uint64_t *ret, struct err *e)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return err_set(e, ERR_INVALID_ARGUMENT, "\"%.40s\" is too large", text);
    if (at != text && strcmp(text, "0") == 0) {
        *ret = 0;
        return ERR_OK;
    }
    for (size_t i = 0; at != text && i < count; i++) {
        if (strcmp(at, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(number, units[i].size, &number))
            return err_set(e, ERR_INVALID_ARGUMENT, "\"%.40s\" is too large", text);
        *ret = number;
        return ERR_OK;
    }
    return err_set(e, ERR_INVALID_ARGUMENT, "\"%.40s\" is not %s", text, example);
}

err_t units_parse_bytes(const char *text, uint64_t *ret, struct err *e)
{
    return parse(text, byte_units, BYTE_UNITS,
                 "a size: write a whole number and B, KiB, MiB, GiB or TiB, as in \"64MiB\"", ret,
                 e);
}

err_t units_parse_ns(const char *text, uint64_t *ret, struct err *e)
{
    return parse(text, time_units, TIME_UNITS,
                 "a duration: write a whole number and ns, us, ms, s, m, h or d, as in \"500ms\"",
                 ret, e);
}

static void print(uint64_t number, const struct unit *units, char out[UNITS_TEXT_MAX])
{
    while (number % units->size != 0)
        units++;
    if (number == 0)
        snprintf(out, UNITS_TEXT_MAX, "0");
    else
        snprintf(out, UNITS_TEXT_MAX, "%llu%s", (unsigned long long)(number / units->size),
                 units->name);
}

static void about(uint64_t number, const struct unit *units, char out[UNITS_TEXT_MAX])
{
    while (units->size > 1 && number < units->size)
        units++;
    if (units->size == 1)
        snprintf(out, UNITS_TEXT_MAX, "%llu %s", (unsigned long long)number, units->name);
    else
        snprintf(out, UNITS_TEXT_MAX, "%.1f %s", (double)number / (double)units->size, units->name);
}

void units_print_bytes(uint64_t bytes, char out[UNITS_TEXT_MAX])
{
    print(bytes, byte_units, out);
}

void units_print_ns(uint64_t ns, char out[UNITS_TEXT_MAX])
{
    print(ns, time_units, out);
}

void units_about_bytes(uint64_t bytes, char out[UNITS_TEXT_MAX])
{
    about(bytes, byte_units, out);
}

void units_about_ns(uint64_t ns, char out[UNITS_TEXT_MAX])
{
    about(ns, time_units, out);
}
