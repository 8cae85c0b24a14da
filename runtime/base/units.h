/* Sizes and durations as people write them: "64MiB", "500ms". */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Decimal digits and nothing else, up to 2^64 - 1; false, and `ret` as it was, for all other text. */
bool units_decimal(struct bytes text, uint64_t *ret);
/* A whole number and B, KiB, MiB, GiB or TiB, nothing between ("0" needs no unit). Errors name the
 * units; "64MB" is told apart from "64MiB" rather than guessed. */
MUST_USE err_t units_parse_bytes(const char *text, uint64_t *ret, struct err *e);
/* A whole number and ns, us, ms, s, m, h or d. */
MUST_USE err_t units_parse_ns(const char *text, uint64_t *ret, struct err *e);

enum { UNITS_TEXT_MAX = 32 };
/* Writes what parses back exactly, with the largest unit that divides the number: "64MiB",
 * "1500ms". */
void units_print_bytes(uint64_t bytes, char out[UNITS_TEXT_MAX]);
void units_print_ns(uint64_t ns, char out[UNITS_TEXT_MAX]);
/* About that much, for people: "1.4 GiB", "37.2 ms". */
void units_about_bytes(uint64_t bytes, char out[UNITS_TEXT_MAX]);
void units_about_ns(uint64_t ns, char out[UNITS_TEXT_MAX]);
