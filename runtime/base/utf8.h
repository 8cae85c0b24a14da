/* UTF-8 (RFC 3629). */
#pragma once

#include "base/buf.h"

/* Bytes of the character at the front of `in`, 0 if there is none: the end, an overlong form, a
 * surrogate, or above U+10FFFF. */
size_t utf8_next(struct bytes in);
/* True if all of `in` is valid. */
bool utf8_is_valid(struct bytes in);
