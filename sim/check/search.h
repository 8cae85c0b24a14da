/* Is there an order? The search for a linearization of one register. */
#pragma once

#include "sim_check/linear.h"
#include "model.h"

struct search_result {
    enum linear_verdict verdict;
    uint64_t configurations; /* that were looked at */
};

/* Gives up (LINEAR_UNKNOWN) after `budget` configurations more than the register has operations. */
struct search_result search_run(struct model *m, uint64_t budget);
