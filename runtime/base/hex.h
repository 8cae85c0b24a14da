/* Bytes as hexadecimal digits. */
#pragma once

#include "base/buf.h"

/* Appends two lower-case digits a byte. On ERR_NOMEM nothing has changed. */
MUST_USE err_t hex_encode(struct bytes in, struct buf *ret);
/* Appends the bytes of an even number of digits of either case, else ERR_INVALID_ARGUMENT; then
 * nothing has changed. */
MUST_USE err_t hex_decode(struct bytes text, struct buf *ret);
