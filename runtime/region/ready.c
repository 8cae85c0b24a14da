/* What a group wants done: its Readys become work for the log, for apply, for other stores.
 *
 *   message to the append thread    region_log_take     written with all regions of the turn; its replies leave then
 *   message to the apply thread     region_apply_take
 *   other messages                  region_send         leave with this turn, before our own sync ends
 *   reads                           region_read_confirmed */
#include "region_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/container.h"

/* ---- Payloads ----------------------------------------------------------------------------- */

/* The log is now these, from ents[0].index on. Payloads of ours are shared; what the core makes itself is empty. */
static void log_append(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    struct region *r = ctx;
    for (uint32_t i = 0; i < n; i++) {
        struct region_entry *entry;
        if (ents[i].data != NULL) {
            entry = region_entry_ref(region_entry_of(ents[i].data));
            assert(entry->len == ents[i].len);
        } else {
            assert(ents[i].len == 0);
            entry = region_entry_new(0);
            if (entry == NULL)
                abort(); /* small and fixed */
        }
        entry->term = ents[i].term;
        entry->index = ents[i].index;
        entry->type = ents[i].type;
        region_entries_push(&r->entries, entry);
    }
}

struct region_entry *region_payload(struct region *r, raft_index index)
{
    struct region_entry *entry = region_entries_get(&r->entries, index);
    if (entry == NULL)
        entry = region_window_get(r, index);
    if (entry == NULL && r->wanted == 0)
        r->wanted = index;
    return entry;
}

static uint32_t log_fit(void *ctx, raft_index lo, raft_index hi, uint64_t max_bytes,
                        uint64_t *bytes)
{
    struct region *r = ctx;
    uint32_t n = 0;
    *bytes = 0;
    if (hi > lo + REGION_MESSAGE_ENTRIES_MAX)
        hi = lo + REGION_MESSAGE_ENTRIES_MAX;
    for (; lo + n < hi; n++) {
        const struct region_entry *entry =
            n == 0 ? region_payload(r, lo) : region_entries_get(&r->entries, lo + n);
        if (entry == NULL && n > 0)
            entry = region_window_get(r, lo + n);
        if (entry == NULL || (n > 0 && *bytes + entry->len > max_bytes))
            break;
        *bytes += entry->len;
    }
    return n;
}

/* Snapshots of regions are not there yet: the log is kept for whoever is behind. */
static bool log_snapshot(void *ctx, struct raft_snap *ret)
{
    (void)ctx, (void)ret;
    return false;
}

struct raft_log_ops region_log_ops(struct region *r)
{
    return (struct raft_log_ops){ log_append, log_fit, log_snapshot, r };
}

/* ---- Readys ------------------------------------------------------------------------------- */

static void role_changed(struct region *r, const struct raft_ready *rd)
{
    struct region_store *rs = r->rs;
    bool led = r->role == RAFT_LEADER, leads = rd->role == RAFT_LEADER;
    if (led != leads)
        rs->stats.leaders += leads ? 1 : UINT64_MAX;
    if (!led && leads) {
        rs->stats.elections++;
        logger_info(rs->log, "leads", logger_u64("region", r->meta.id),
                    logger_u64("term", rd->hs.term));
    }
    r->role = rd->role;
    r->lead = rd->lead;
    if (!leads)
        r->led_term = 0;
    if (led && !leads) {
        logger_info(rs->log, "leads no more", logger_u64("region", r->meta.id),
                    logger_u64("term", rd->hs.term), logger_u64("leader_peer", rd->lead));
        region_propose_deposed(r);
    }
    if (!leads)
        region_read_deposed(r);
}

static void take(struct region *r, const struct raft_ready *rd)
{
    if (rd->soft_changed)
        role_changed(r, rd);
    r->rs->stats.committed += rd->hs.commit - r->hs.commit;
    r->hs = rd->hs;
    for (uint32_t i = 0; i < rd->nmsgs; i++) {
        const struct raft_msg *m = &rd->msgs[i];
        if (m->to == RAFT_APPEND_THREAD)
            region_log_take(r, m);
        else if (m->to == RAFT_APPLY_THREAD)
            region_apply_take(r, rd->committed, m->resp);
        else
            region_send(r, m);
    }
    for (uint32_t i = 0; i < rd->nreads; i++)
        region_read_confirmed(r, &rd->reads[i]);
}

static void tell_broken(struct region *r)
{
    static const char why[] =
        "this replica has met what its protocol excludes and has stopped; see the log";
    struct raft_status s;
    if (r->broken_told)
        return;
    r->broken_told = true;
    raft_status(r->raft, &s);
    logger_error(r->rs->log, "a replica has stopped: what it met cannot be",
                 logger_u64("region", r->meta.id), logger_text("why", s.why));
    region_propose_refuse(r, ERR_DATA_LOSS, why);
    region_propose_doubt(r, why);
    region_read_end(r, ERR_DATA_LOSS);
    r->role = RAFT_FOLLOWER;
    r->lead = RAFT_NONE;
    r->led_term = 0;
}

void region_ready(struct region *r)
{
    for (unsigned i = 0; i < REGION_READY_MAX && raft_has_ready(r->raft); i++) {
        take(r, raft_ready(r->raft));
        raft_advance(r->raft);
    }
    if (raft_broken(r->raft))
        tell_broken(r);
    else if (raft_has_ready(r->raft))
        env_timer_start(r->rs->env, &r->rs->again, 0); /* others first, then this one again */
    if (r->wanted != 0)
        region_window_read(r);
}
