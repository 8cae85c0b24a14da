/* The ballast: a file that holds room in reserve, so that a full disk can be recovered from.
 *
 *   |  store  |  others, growing ....................  |ballast|      nothing fits any more: not even a start
 *   |  store  |  others, growing ....................  |       |      the operator has removed it: there is room to
 *                                                                     start, to delete, to compact
 *
 * The node makes it and never removes it by itself: what it gave away in an emergency, whoever filled the disk would
 * take too, and nothing would be left for the one who comes to help. */
#pragma once

#include <stdint.h>

#include "base/logger.h"
#include "env/env.h"

#define NODE_BALLAST_NAME "BALLAST" /* in the data directory */

/* Makes the file as long as the config says (`bytes`; at most a hundredth of the disk), or shortens or removes it.
 * Does nothing if it is right already, or if that much more would leave less than `reserve_percent` of the disk free.
 * Blocks, for as long as writing takes; the store's lock is held. A failure is logged: the node serves without. */
void node_ballast_keep(struct env *env, struct logger *log, const char *data_dir, uint64_t bytes,
                       uint32_t reserve_percent);
