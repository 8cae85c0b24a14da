/* Configurations as mask algebra: what a change makes of one (thesis chapter 4; joint consensus with auto-leave). */
#pragma once

#include "raft/raft.h"

static inline uint16_t conf_bit(unsigned place)
{
    return (uint16_t)(1u << place);
}
/* The place of `id`, -1 if it is not there. */
int conf_find(const struct raft_conf *c, raft_id id);
/* True if `id` is in that set (one of the conf's masks). */
bool conf_in(const struct raft_conf *c, uint16_t set, raft_id id);
static inline bool conf_joint(const struct raft_conf *c)
{
    return c->outgoing != 0;
}

/* Each answers NULL and fills `ret`, or says why not. `fresh` (may be NULL) gets the places whose members begin
 * anew, although their id may have been a member before. `ret` may be `c`. */
const char *conf_simple(const struct raft_conf *c, const struct raft_cc_one *change, unsigned n,
                        struct raft_conf *ret, uint16_t *fresh);
const char *conf_enter_joint(const struct raft_conf *c, bool auto_leave,
                             const struct raft_cc_one *change, unsigned n, struct raft_conf *ret,
                             uint16_t *fresh);
const char *conf_leave_joint(const struct raft_conf *c, struct raft_conf *ret, uint16_t *fresh);
/* What `cc` asks for: one of the three. */
const char *conf_apply(const struct raft_conf *c, const struct raft_cc *cc, struct raft_conf *ret,
                       uint16_t *fresh);
bool conf_leaves(const struct raft_cc *cc);
bool conf_equal(const struct raft_conf *a, const struct raft_conf *b);
