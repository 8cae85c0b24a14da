/* The words of the catalog's errors. Every identity is a number of its own in base/err.h; its
 * words are fixed, because people and scripts look for them. */
#pragma once

#include "base/err.h"

/* "catalog version mismatch"; "" for a code that is none of the catalog's. Static. */
const char *catalog_error_text(err_t rc);
/* Sets "<words of rc>: <details>"; answers `rc`. `e` may be NULL. */
err_t catalog_error(struct err *e, err_t rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
