/* A node of a script: its payloads and storage, its Ready, its storage threads. */
#include "script_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- The log's payloads ---- */

static void log_append(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    struct node *node = ctx;
    if (node->ncache > 0 &&
        ents[0].index < node->cache_first) { /* the log began anew behind a snapshot */
        ents_drop(node->cache, &node->ncache, &node->cache_first,
                  node->cache_first + node->ncache - 1);
        node->ncache = 0;
    }
    if (node->ncache > 0 && ents[0].index > node->cache_first + node->ncache)
        ents_drop(node->cache, &node->ncache, &node->cache_first,
                  node->cache_first + node->ncache - 1);
    ents_put(&node->cache, &node->ncache, &node->cache_cap, &node->cache_first, ents, n);
}

static const struct raft_ent *cached(const struct node *node, raft_index index)
{
    assert(index >= node->cache_first && index < node->cache_first + node->ncache);
    return &node->cache[index - node->cache_first];
}

static uint32_t log_fit(void *ctx, raft_index lo, raft_index hi, uint64_t max, uint64_t *bytes)
{
    struct node *node = ctx;
    uint32_t n = 0;
    *bytes = 0;
    for (; lo + n < hi; n++) {
        uint64_t len = cached(node, lo + n)->len;
        if (n > 0 && *bytes + len > max)
            break;
        *bytes += len;
    }
    return n;
}

static bool log_snapshot(void *ctx, struct raft_snap *ret)
{
    struct node *node = ctx;
    *ret = node->applied.meta;
    return true;
}

/* A message of the core with copies of what it names. */
struct wire node_wire(const struct node *node, const struct raft_msg *m)
{
    struct wire w = { .m = *m, .nresp = m->nresp };
    w.ents = must(calloc(m->nents + 1u, sizeof *w.ents));
    for (uint32_t i = 0; i < m->nents; i++)
        w.ents[i] = ent_copy(m->ents != NULL ? &m->ents[i] : cached(node, m->first + i));
    if (m->snap != NULL)
        w.snap = *m->snap;
    w.resp = must(calloc(m->nresp + 1u, sizeof *w.resp));
    for (uint32_t i = 0; i < m->nresp; i++)
        w.resp[i] = node_wire(node, &m->resp[i]);
    return w;
}
/* ---- Storage ------------------------------------------------------------------------------------------------ */

void node_store(struct node *node, const struct raft_hs *hs, const struct raft_ent *ents,
                uint32_t n, const struct raft_snap *snap)
{
    if (hs != NULL)
        node->hs = *hs;
    if (snap != NULL) {
        ents_drop(node->stable, &node->nstable, &node->stable_first,
                  node->nstable > 0 ? node->stable_first + node->nstable - 1 : 0);
        node->nstable = 0;
        node->stable_first = snap->index + 1;
        node->stable_base_term = snap->term;
        node->stable_snap = *snap;
        node->applied.meta = *snap;
        node->applied_index = snap->index;
    }
    if (n > 0 && node->nstable == 0)
        node->stable_first = ents[0].index;
    ents_put(&node->stable, &node->nstable, &node->stable_cap, &node->stable_first, ents, n);
}

static void apply(struct node *node, const struct raft_ent *ents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct raft_cc cc;
        if (ents[i].type == RAFT_ENT_CONF) {
            struct raft_conf conf;
            if (raft_cc_decode(ents[i].data, ents[i].len, &cc) != ERR_OK ||
                raft_apply_conf(node->r, &cc, &conf) != ERR_OK)
                abort();
            node->applied.meta.conf = conf;
        } else if (buf_append(&node->applied.data, bytes_from(ents[i].data, ents[i].len)) !=
                   ERR_OK) {
            abort();
        }
        node->applied.meta.index = ents[i].index;
        node->applied.meta.term = ents[i].term;
        node->applied_index = ents[i].index;
    }
}

void node_print_log(const struct node *node, struct buf *out)
{
    if (node->nstable == 0) {
        say(out, "log is empty: first index=%" PRIu64 ", last index=%" PRIu64, node->stable_first,
            node->stable_first - 1);
        return;
    }
    for (size_t i = 0; i < node->nstable; i++) {
        print_entry(out, &node->stable[i]);
        say(out, "\n");
    }
}
void node_open(struct node *node, bool restarted)
{
    struct raft_run *runs = must(calloc(node->nstable + 1, sizeof *runs));
    struct raft_boot boot = { .hs = node->hs, .snap = node->stable_snap, .runs = runs };
    for (size_t i = 0; i < node->nstable; i++) {
        const struct raft_ent *e = &node->stable[i];
        bool conf = e->type == RAFT_ENT_CONF;
        if (boot.nruns == 0 || runs[boot.nruns - 1].term != e->term ||
            runs[boot.nruns - 1].conf != conf)
            boot.nruns++;
        runs[boot.nruns - 1] = (struct raft_run){ e->index, e->term, conf };
    }
    boot.snap.index = node->stable_first - 1;
    boot.snap.term = node->stable_base_term;
    boot.snap.conf = node->applied.meta.conf;
    boot.applied = node->applied_index;
    boot.restarted = restarted;
    err_t rc = raft_open(&node->cfg, &boot, &node->r);
    if (rc != ERR_OK) {
        fprintf(stderr, "raft_script: node %" PRIu64 " does not open: %s\n", node->id,
                err_name(rc));
        exit(2);
    }
    free(runs);
}

struct node *node_new(struct env_nodes *env, const struct raft_cfg *cfg,
                      const struct raft_snap *snap)
{
    struct node *node = must(calloc(1, sizeof *node));
    node->env = env;
    node->id = cfg->id;
    node->cfg = *cfg;
    node->cfg.log = (struct raft_log_ops){ log_append, log_fit, log_snapshot, node };
    node->stable_first = 1;
    if (snap != NULL) {
        node->stable_first = snap->index + 1;
        node->stable_base_term = snap->term;
        node->stable_snap = node->applied.meta = *snap;
        node->applied_index = snap->index;
    }
    node->cache_first = node->stable_first;
    node_open(node, false);
    return node;
}

void node_free(struct node *node)
{
    raft_close(node->r);
    ents_free(node->cache, (uint32_t)node->ncache);
    ents_free(node->stable, (uint32_t)node->nstable);
    buf_free(&node->applied.data);
    queue_free(&node->append_work);
    queue_free(&node->apply_work);
    free(node);
}

bool cut_off(const struct env_nodes *env, raft_id a, raft_id b)
{
    return a <= NODES_MAX && b <= NODES_MAX && env->cut[a] != env->cut[b];
}

bool local_message(const struct raft_msg *m)
{
    return m->from == m->to || m->from >= RAFT_APPLY_THREAD || m->to >= RAFT_APPLY_THREAD;
}

void to_flight(struct env_nodes *env, struct wire w)
{
    if (!local_message(&w.m) && cut_off(env, w.m.from, w.m.to))
        wire_free(&w);
    else
        queue_push(&env->flight, w);
}
/* ---- Ready -------------------------------------------------------------------------------------------------- */

static void print_range(struct buf *out, const struct node *node, struct raft_range range)
{
    for (raft_index i = range.lo; i < range.hi; i++) {
        print_entry(out, cached(node, i));
        say(out, "\n");
    }
}

static void print_ready(const struct node *node, const struct raft_ready *rd,
                        const struct queue *msgs, struct buf *out)
{
    struct buf body = { 0 };
    if (rd->soft_changed)
        say(&body, "Lead:%" PRIu64 " State:%s\n", rd->lead, print_role(rd->role));
    if (rd->hs_changed) {
        say(&body, "HardState Term:%" PRIu64, rd->hs.term);
        if (rd->hs.vote != 0)
            say(&body, " Vote:%" PRIu64, rd->hs.vote);
        say(&body, " Commit:%" PRIu64 "\n", rd->hs.commit);
    }
    if (rd->nreads > 0) {
        say(&body, "ReadStates [");
        for (uint32_t i = 0; i < rd->nreads; i++)
            say(&body, "%s{%" PRIu64 " %" PRIu64 "}", i > 0 ? " " : "", rd->reads[i].index,
                rd->reads[i].ctx);
        say(&body, "]\n");
    }
    if (rd->ents.lo < rd->ents.hi) {
        say(&body, "Entries:\n");
        print_range(&body, node, rd->ents);
    }
    if (rd->snap != NULL) {
        say(&body, "Snapshot ");
        print_snap(&body, rd->snap);
        say(&body, "\n");
    }
    if (rd->committed.lo < rd->committed.hi) {
        say(&body, "CommittedEntries:\n");
        print_range(&body, node, rd->committed);
    }
    if (msgs->n > 0) {
        say(&body, "Messages:\n");
        for (size_t i = 0; i < msgs->n; i++) {
            print_message(&body, &msgs->items[i], "");
            say(&body, "\n");
        }
    }
    if (body.len == 0)
        say(out, "<empty Ready>");
    else
        say(out, "Ready MustSync=%s:\n%.*s", rd->must_sync ? "true" : "false", (int)body.len,
            (const char *)body.data);
    buf_free(&body);
}

/* The entries of a range as an array of borrowed ones. */
static const struct raft_ent *range_ents(const struct node *node, struct raft_range range,
                                         uint32_t *n)
{
    *n = (uint32_t)(range.hi - range.lo);
    return *n > 0 ? cached(node, range.lo) : NULL;
}

void node_ready(struct env_nodes *env, struct node *node, struct buf *out)
{
    const struct raft_ready *rd = raft_ready(node->r);
    struct queue msgs = { 0 };
    uint32_t n;
    for (uint32_t i = 0; i < rd->nmsgs; i++)
        queue_push(&msgs, node_wire(node, &rd->msgs[i]));
    print_ready(node, rd, &msgs, out);
    bool async = (node->cfg.flags & RAFT_ASYNC) != 0;
    if (!async) {
        const struct raft_ent *ents = range_ents(node, rd->ents, &n);
        node_store(node, rd->hs_changed ? &rd->hs : NULL, ents, n, rd->snap);
        struct raft_range committed = rd->committed;
        ents = range_ents(node, committed, &n);
        apply(node, ents, n);
    }
    for (size_t i = 0; i < msgs.n; i++) {
        if (msgs.items[i].m.to == RAFT_APPEND_THREAD)
            queue_push(&node->append_work, msgs.items[i]);
        else if (msgs.items[i].m.to == RAFT_APPLY_THREAD)
            queue_push(&node->apply_work, msgs.items[i]);
        else
            to_flight(env, msgs.items[i]);
    }
    free(msgs.items);
    raft_advance(node->r);
}

void node_thread(struct env_nodes *env, struct node *node, bool append, struct buf *out)
{
    struct queue *work = append ? &node->append_work : &node->apply_work;
    if (work->n == 0) {
        say(out, "no %s work to perform", append ? "append" : "apply");
        return;
    }
    struct wire w = queue_take(work, 0);
    struct raft_msg *m = wire_msg(&w);
    uint32_t nresp = w.nresp;
    say(out, "Processing:\n");
    w.nresp = 0;
    print_message(out, &w, "");
    say(out, "\n");
    if (append) {
        struct raft_hs hs = { m->term, m->vote, m->commit };
        node_store(node, m->term != 0 || m->vote != 0 || m->commit != 0 ? &hs : NULL, w.ents,
                   m->nents, m->snap);
    } else {
        apply(node, w.ents, m->nents);
    }
    say(out, "Responses:\n");
    for (uint32_t i = 0; i < nresp; i++) {
        print_message(out, &w.resp[i], "");
        say(out, "\n");
        to_flight(env, w.resp[i]);
    }
    w.nresp = 0;
    wire_free(&w);
}
