/* Why a register is not linearizable, for people. */
#pragma once

#include "model.h"

/* Appends to `out`: the shortest beginning of the history that is impossible, the fewest of its operations that were
 * found impossible alone, and what was concurrent. `m` has been found impossible within `budget`. */
void explain(const struct history *h, const struct model *m, uint64_t budget, struct buf *out);
