/* The algebra of configuration changes. A change works on a copy; `fresh` moves with the places as ids come and go. */
#include "conf.h"

#include <string.h>

#include "base/codec.h"

struct work {
    struct raft_conf c;
    uint16_t fresh;
};

int conf_find(const struct raft_conf *c, raft_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->id[i] == id)
            return (int)i;
    return -1;
}

bool conf_in(const struct raft_conf *c, uint16_t set, raft_id id)
{
    int place = conf_find(c, id);
    return place >= 0 && (set & conf_bit((unsigned)place)) != 0;
}

const char *raft_conf_broken(const struct raft_conf *c)
{
    if (c->n > RAFT_MAX_PEERS)
        return "too many members";
    uint16_t all = (uint16_t)((1u << c->n) - 1);
    for (unsigned i = 0; i < c->n; i++)
        if (c->id[i] == RAFT_NONE || (i > 0 && c->id[i] <= c->id[i - 1]))
            return "ids are not ascending";
    if ((c->voters | c->outgoing | c->learners | c->learners_next) & ~all)
        return "a set holds a place without a member";
    if ((c->voters | c->outgoing | c->learners) != all)
        return "a member is in no set";
    if (c->learners & (c->voters | c->outgoing))
        return "a learner is a voter too";
    if (c->learners_next & ~c->outgoing || c->learners_next & c->voters)
        return "a later learner is not an outgoing voter";
    if (!conf_joint(c) && (c->learners_next != 0 || c->auto_leave))
        return "leaves a joint state that it is not in";
    return NULL;
}

/* Opens a gap at `place` in a mask, or closes it. */
static uint16_t spread(uint16_t mask, unsigned place)
{
    uint16_t low = (uint16_t)(conf_bit(place) - 1);
    return (uint16_t)((mask & low) | (uint32_t)(mask & ~low) << 1);
}

static uint16_t squeeze(uint16_t mask, unsigned place)
{
    uint16_t low = (uint16_t)(conf_bit(place) - 1);
    return (uint16_t)((mask & low) | ((mask >> 1) & ~low));
}

static void each_mask(struct work *w, unsigned place, uint16_t (*move)(uint16_t, unsigned))
{
    w->c.voters = move(w->c.voters, place);
    w->c.outgoing = move(w->c.outgoing, place);
    w->c.learners = move(w->c.learners, place);
    w->c.learners_next = move(w->c.learners_next, place);
    w->fresh = move(w->fresh, place);
}

/* The place of `id`, made if need be; -1: the configuration is full. */
static int work_place(struct work *w, raft_id id)
{
    int found = conf_find(&w->c, id);
    if (found >= 0)
        return found;
    if (w->c.n == RAFT_MAX_PEERS)
        return -1;
    unsigned place = 0;
    while (place < w->c.n && w->c.id[place] < id)
        place++;
    memmove(w->c.id + place + 1, w->c.id + place, (w->c.n - place) * sizeof w->c.id[0]);
    w->c.id[place] = id;
    w->c.n++;
    each_mask(w, place, spread);
    w->fresh |= conf_bit(place);
    return (int)place;
}

static void work_drop(struct work *w, unsigned place)
{
    memmove(w->c.id + place, w->c.id + place + 1, (w->c.n - place - 1u) * sizeof w->c.id[0]);
    w->c.n--;
    each_mask(w, place, squeeze);
}

static const char *work_voter(struct work *w, raft_id id)
{
    int place = work_place(w, id);
    if (place < 0)
        return "too many members";
    uint16_t bit = conf_bit((unsigned)place);
    w->c.voters |= bit;
    w->c.learners &= (uint16_t)~bit;
    w->c.learners_next &= (uint16_t)~bit;
    return NULL;
}

/* An outgoing voter becomes a learner when the joint state is left: until then it is counted as a voter. */
static const char *work_learner(struct work *w, raft_id id)
{
    int place = work_place(w, id);
    if (place < 0)
        return "too many members";
    uint16_t bit = conf_bit((unsigned)place);
    w->c.voters &= (uint16_t)~bit;
    w->c.learners &= (uint16_t)~bit;
    if (w->c.outgoing & bit)
        w->c.learners_next |= bit;
    else
        w->c.learners |= bit;
    return NULL;
}

static void work_remove(struct work *w, raft_id id)
{
    int place = conf_find(&w->c, id);
    if (place < 0)
        return;
    uint16_t bit = conf_bit((unsigned)place);
    w->c.voters &= (uint16_t)~bit;
    w->c.learners &= (uint16_t)~bit;
    w->c.learners_next &= (uint16_t)~bit;
    if (!(w->c.outgoing & bit))
        work_drop(w, (unsigned)place);
}

static const char *work_changes(struct work *w, const struct raft_cc_one *change, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const char *why = NULL;
        if (change[i].id == RAFT_NONE)
            continue;
        switch (change[i].kind) {
        case RAFT_CC_VOTER:
            why = work_voter(w, change[i].id);
            break;
        case RAFT_CC_LEARNER:
            why = work_learner(w, change[i].id);
            break;
        case RAFT_CC_REMOVE:
            work_remove(w, change[i].id);
            break;
        case RAFT_CC_UPDATE:
            break;
        }
        if (why != NULL)
            return why;
    }
    return w->c.voters == 0 ? "removed all voters" : NULL;
}

static const char *finish(const struct work *w, struct raft_conf *ret, uint16_t *fresh)
{
    const char *why = raft_conf_broken(&w->c);
    if (why != NULL)
        return why;
    *ret = w->c;
    if (fresh != NULL)
        *fresh = w->fresh;
    return NULL;
}

/* How many ids are a voter in one and not in the other. */
static unsigned voters_differ(const struct raft_conf *a, const struct raft_conf *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < a->n; i++)
        n += (a->voters & conf_bit(i)) && !conf_in(b, b->voters, a->id[i]);
    for (unsigned i = 0; i < b->n; i++)
        n += (b->voters & conf_bit(i)) && !conf_in(a, a->voters, b->id[i]);
    return n;
}

const char *conf_simple(const struct raft_conf *c, const struct raft_cc_one *change, unsigned n,
                        struct raft_conf *ret, uint16_t *fresh)
{
    struct work w = { .c = *c };
    if (conf_joint(c))
        return "can't apply simple config change in joint config";
    const char *why = work_changes(&w, change, n);
    if (why != NULL)
        return why;
    if (voters_differ(c, &w.c) > 1)
        return "more than one voter changed without entering joint config";
    return finish(&w, ret, fresh);
}

const char *conf_enter_joint(const struct raft_conf *c, bool auto_leave,
                             const struct raft_cc_one *change, unsigned n, struct raft_conf *ret,
                             uint16_t *fresh)
{
    struct work w = { .c = *c };
    if (conf_joint(c))
        return "config is already joint";
    if (c->voters == 0)
        return "can't make a zero-voter config joint";
    w.c.outgoing = c->voters;
    const char *why = work_changes(&w, change, n);
    if (why != NULL)
        return why;
    w.c.auto_leave = auto_leave;
    return finish(&w, ret, fresh);
}

const char *conf_leave_joint(const struct raft_conf *c, struct raft_conf *ret, uint16_t *fresh)
{
    struct work w = { .c = *c };
    if (!conf_joint(c))
        return "can't leave a non-joint config";
    w.c.learners |= w.c.learners_next;
    w.c.learners_next = w.c.outgoing = 0;
    w.c.auto_leave = false;
    for (unsigned place = w.c.n; place > 0; place--)
        if (!((w.c.voters | w.c.learners) & conf_bit(place - 1)))
            work_drop(&w, place - 1);
    return finish(&w, ret, fresh);
}

bool conf_leaves(const struct raft_cc *cc)
{
    return cc->n == 0 && cc->transition == RAFT_CC_AUTO;
}

const char *conf_apply(const struct raft_conf *c, const struct raft_cc *cc, struct raft_conf *ret,
                       uint16_t *fresh)
{
    if (conf_leaves(cc))
        return conf_leave_joint(c, ret, fresh);
    /* One change needs no joint state, unless somebody asked for it. */
    if (cc->transition != RAFT_CC_AUTO || cc->n > 1)
        return conf_enter_joint(c, cc->transition != RAFT_CC_EXPLICIT, cc->change, cc->n, ret,
                                fresh);
    return conf_simple(c, cc->change, cc->n, ret, fresh);
}

bool conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
    return a->n == b->n && a->voters == b->voters && a->outgoing == b->outgoing &&
           a->learners == b->learners && a->learners_next == b->learners_next &&
           a->auto_leave == b->auto_leave && memcmp(a->id, b->id, a->n * sizeof a->id[0]) == 0;
}

/*   | version u8 = 1 | transition u8 | n u8 | n times: kind u8, id u64 | the driver's |
 *
 * Little-endian. An empty payload leaves the joint state. */
size_t raft_cc_encode(const struct raft_cc *cc, uint8_t out[RAFT_CC_BYTES_MAX])
{
    if (conf_leaves(cc))
        return 0;
    uint8_t *at = out;
    put_u8(&at, 1);
    put_u8(&at, (uint8_t)cc->transition);
    put_u8(&at, cc->n);
    for (unsigned i = 0; i < cc->n; i++) {
        put_u8(&at, (uint8_t)cc->change[i].kind);
        put_u64(&at, cc->change[i].id);
    }
    return (size_t)(at - out);
}

err_t raft_cc_decode(const void *data, size_t len, struct raft_cc *ret)
{
    struct bytes in = { data, len };
    struct raft_cc cc = { .n = 0 };
    uint8_t version, transition;
    if (len == 0) {
        *ret = cc;
        return ERR_OK;
    }
    if (!take_u8(&in, &version) || version != 1 || !take_u8(&in, &transition) ||
        transition > RAFT_CC_EXPLICIT || !take_u8(&in, &cc.n) || cc.n > RAFT_MAX_PEERS)
        return ERR_CORRUPTION;
    cc.transition = (enum raft_cc_transition)transition;
    for (unsigned i = 0; i < cc.n; i++) {
        uint8_t kind;
        if (!take_u8(&in, &kind) || kind > RAFT_CC_UPDATE || !take_u64(&in, &cc.change[i].id))
            return ERR_CORRUPTION;
        cc.change[i].kind = (enum raft_cc_kind)kind;
    }
    *ret = cc;
    return ERR_OK;
}
