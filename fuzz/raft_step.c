/* A member of a Raft group that is told anything: messages of every type with terms, indexes, entries and snapshots
 * that nobody would send, between ticks, proposals, changes, reads, compactions, and Readys that are handled as the
 * contract of raft.h wants it. The group may break (raft_broken()); the process may not, and what is asserted inside
 * (check.c, after every call) must hold.
 *
 *   byte 0-1  flags of the group      then one operation after the other: kind, and the bytes that it draws
 *
 * Numbers are drawn near the marks of the group (its term, commit, last index) as often as far away from them. */
#include "raft/raft.h"

#include "fuzz.h"

enum { ENTS_MAX = 6, STEPS_MAX = 400, OUT_MAX = 64 };

struct input {
    const uint8_t *at, *end;
};

static uint8_t draw(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

struct world {
    struct raft *r;
    bool async;
    raft_index last;                /* of the payloads, as told by append() */
    struct raft_msg later[OUT_MAX]; /* answers of the storage threads, not yet given */
    unsigned nlater;
};

static void take(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    struct world *w = ctx;
    FUZZ_CHECK(n > 0);
    for (uint32_t i = 1; i < n; i++)
        FUZZ_CHECK(ents[i].index == ents[0].index + i);
    w->last = ents[n - 1].index;
}

static uint32_t fit(void *ctx, raft_index lo, raft_index hi, uint64_t max, uint64_t *bytes)
{
    FUZZ_CHECK(lo < hi);
    (void)ctx, (void)max;
    *bytes = lo % 3;
    return lo % 7 == 0 ? 1 : (uint32_t)(hi - lo);
}

static struct raft_conf conf_of(uint8_t bits)
{
    struct raft_conf c = { 0 };
    for (unsigned id = 1; id <= 4; id++) {
        c.voters |= (uint16_t)(1u << c.n);
        c.id[c.n++] = id;
    }
    if (bits & 1)
        c.outgoing = 7;
    c.auto_leave = (bits & 3) == 3;
    if (bits & 4) { /* not a configuration */
        c.learners = c.voters;
    }
    return c;
}

static bool snapshot(void *ctx, struct raft_snap *ret)
{
    struct world *w = ctx;
    struct raft_status s;
    raft_status(w->r, &s);
    *ret = (struct raft_snap){ .index = s.applied, .conf = s.conf };
    return s.applied > 0 && raft_term_of(w->r, s.applied, &ret->term);
}

/* Near `mark`, or far away. */
static uint64_t near(struct input *in, uint64_t mark)
{
    uint8_t b = draw(in);
    if (b < 200)
        return mark + b % 7 < 3 ? 0 : mark + b % 7 - 3;
    if (b < 230)
        return b - 200;
    return b == 255 ? UINT64_MAX : UINT64_MAX - b;
}

static void step_any(struct world *w, struct input *in)
{
    struct raft_status s;
    struct raft_ent ents[ENTS_MAX];
    struct raft_snap snap;
    raft_status(w->r, &s);
    struct raft_msg m = { .type = draw(in) % (RAFT_MSG_TYPES + 1) };
    uint8_t bits = draw(in);
    m.reject = bits & 1;
    m.forced = bits & 2;
    m.from = (bits >> 2) % 8;
    m.to = 1;
    m.term = near(in, s.term);
    m.log_term = near(in, s.term);
    m.index = near(in, bits & 0x80 ? s.commit : s.last);
    m.commit = near(in, s.commit);
    m.hint = near(in, s.last);
    m.commit_term = bits & 0x40 ? near(in, s.term) : 0;
    m.ctx = near(in, 3);
    if (m.type == RAFT_MSG_APP || m.type == RAFT_MSG_PROP) {
        raft_term term = m.log_term;
        m.nents = draw(in) % (ENTS_MAX + 1);
        for (uint32_t i = 0; i < m.nents; i++) {
            uint8_t how = draw(in);
            term += how % 4 == 0;
            ents[i] = (struct raft_ent){ .term = how == 255 ? 0 : term,
                                         .index = how == 254 ? 1 : m.index + 1 + i,
                                         .type = how % 5 == 0 ? RAFT_ENT_CONF : RAFT_ENT_NORMAL,
                                         .data = "\0\0\0",
                                         .len = 3 };
        }
        m.ents = bits == 255 ? NULL : ents;
    }
    if (m.type == RAFT_MSG_SNAP && bits != 255) {
        snap =
            (struct raft_snap){ .index = m.index, .term = m.log_term, .conf = conf_of(draw(in)) };
        m.snap = &snap;
    }
    (void)!raft_step(w->r, &m);
}

/* The storage threads answer in order. */
static void answer(struct world *w, unsigned n)
{
    for (; n > 0 && w->nlater > 0; n--) {
        struct raft_msg m = w->later[0];
        memmove(w->later, w->later + 1, --w->nlater * sizeof m);
        (void)!raft_step(w->r, &m);
    }
}

static void ready(struct world *w, struct input *in)
{
    if (!raft_has_ready(w->r))
        return;
    if (w->async && w->nlater + 24 > OUT_MAX)
        answer(w, OUT_MAX);
    const struct raft_ready *rd = raft_ready(w->r);
    FUZZ_CHECK(rd->ents.lo <= rd->ents.hi && rd->committed.lo <= rd->committed.hi);
    for (uint32_t i = 0; i < rd->nmsgs; i++) {
        const struct raft_msg *m = &rd->msgs[i];
        FUZZ_CHECK(m->type < RAFT_MSG_TYPES && m->to != RAFT_NONE);
        if (m->type == RAFT_MSG_APP)
            FUZZ_CHECK(m->nents == 0 || m->first == m->index + 1);
        for (uint32_t k = 0; k < m->nresp && w->nlater < OUT_MAX; k++)
            if (m->resp[k].to == 1) {
                w->later[w->nlater] = m->resp[k];
                w->later[w->nlater++].snap = NULL;
            }
    }
    uint8_t how = draw(in);
    for (raft_index i = rd->committed.lo; how % 4 == 0 && i < rd->committed.hi; i++) {
        struct raft_cc cc = { .n = (uint8_t)(how >> 2 & 1),
                              .change = { { (enum raft_cc_kind)(how >> 3 & 3), 2 + (how >> 5) } } };
        (void)!raft_apply_conf(w->r, &cc, NULL);
    }
    raft_advance(w->r);
}

static void operate(struct world *w, struct input *in)
{
    struct raft_ent ent = { .data = "payload", .len = 7 };
    struct raft_status s;
    uint8_t what = draw(in);
    switch (what % 16) {
    case 0:
        raft_tick(w->r, draw(in) % 32);
        break;
    case 1:
        (void)!raft_propose(w->r, &ent, 1);
        break;
    case 2: {
        struct raft_cc cc = { .transition = (enum raft_cc_transition)(what >> 6), .n = 1 };
        cc.change[0] = (struct raft_cc_one){ (enum raft_cc_kind)(draw(in) % 4), draw(in) % 6 };
        (void)!raft_propose_conf(w->r, &cc, (struct bytes){ 0 });
        break;
    }
    case 3:
        (void)!raft_read_index(w->r, what);
        break;
    case 4:
        (void)!raft_campaign(w->r);
        break;
    case 5:
        (void)!raft_transfer(w->r, draw(in) % 6);
        break;
    case 6:
        raft_unreachable(w->r, draw(in) % 6);
        raft_snap_done(w->r, draw(in) % 6, what & 16);
        break;
    case 7:
        raft_status(w->r, &s);
        (void)!raft_compacted(w->r, near(in, s.applied));
        break;
    case 8:
        raft_trim(w->r);
        raft_kick(w->r, draw(in) % 6);
        break;
    case 9:
        (void)!raft_forget_leader(w->r);
        break;
    case 10:
    case 11:
        ready(w, in);
        answer(w, draw(in) % 4);
        break;
    case 12:
        if (what & 16)
            (void)!raft_sleep(w->r);
        else
            raft_wake(w->r, what & 32);
        break;
    default:
        step_any(w, in);
    }
    raft_status(w->r, &s);
    FUZZ_CHECK(s.broken || (s.applied <= s.commit && s.commit <= s.last));
    FUZZ_CHECK(raft_deadline(w->r) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = { data, data + len };
    struct raft_run runs[] = { { 4, 1, false }, { 5, 2, true }, { 7, 2, false } };
    struct raft_boot boot = { .hs = { .term = 3, .commit = 4 }, .runs = runs, .nruns = 3 };
    unsigned flags = draw(&in), more = draw(&in);
    flags |= (more & 3) << 8;
    boot.restarted = more & 4;
    struct world w = { .async = flags & RAFT_ASYNC };
    if (flags & RAFT_LEASE_READ)
        flags |= RAFT_CHECK_QUORUM;
    struct raft_cfg cfg = { .id = 1,
                            .election_tick = 10,
                            .heartbeat_tick = 3,
                            .flags = flags,
                            .max_inflight_msgs = 2,
                            .max_apply_bytes = 4,
                            .max_uncommitted = 100,
                            .log = { take, fit, snapshot, &w } };
    boot.snap.conf = conf_of(0);
    FUZZ_CHECK(raft_open(&cfg, &boot, &w.r) == ERR_OK);
    for (unsigned i = 0; i < STEPS_MAX && in.at < in.end; i++)
        operate(&w, &in);
    raft_close(w.r);
    return 0;
}
