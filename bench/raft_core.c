/* raft_core: the consensus core alone, on one core of the processor. Three members of a group in one process, messages
 * handed over in memory, payloads of 128 bytes copied into each member's log, no disk and no network.
 *
 *   raft_core [SECONDS]      of CPU time for each measurement (2)
 *
 *   one     one proposal, then Readys until nothing is left      batch   64 in one call, then the same
 *   idle    bytes of a group after raft_trim(), all three members
 *   ticks   10,000 idle groups of three members, every tick to every member; "due": by a timer wheel that asks
 *           raft_deadline(); "asleep": the same when all groups sleep (raft_sleep)
 *
 * Rates are per second of CPU time of this process, so that a shared machine does not lie about them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raft/raft.h"

enum {
    MEMBERS = 3,
    PAYLOAD = 128,
    RING = 1 << 15,
    KEEP = 5000,
    BATCH = 64,
    GROUPS = 10000,
    HEARTBEAT = 3,
    WHEEL = 64 /* ticks; more than any deadline */
};

struct slot {
    raft_term term;
    uint32_t len;
    uint8_t type;
    uint8_t data[PAYLOAD];
};

struct group;
struct member {
    struct raft *r;
    struct slot *log; /* by index % RING; NULL: of an idle group, which keeps no payloads */
    struct group *g;
    uint64_t applied, compacted;
    struct member *next; /* due at the same tick */
    uint64_t told;       /* ticks */
};

struct group {
    struct member m[MEMBERS];
    uint64_t now; /* ticks */
};

static void die(const char *why)
{
    fprintf(stderr, "raft_core: %s\n", why);
    exit(1);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- A member's log ----------------------------------------------------------------------------------------- */

static void log_append(void *ctx, const struct raft_ent *ents, uint32_t n)
{
    struct member *m = ctx;
    for (uint32_t i = 0; m->log != NULL && i < n; i++) {
        struct slot *s = &m->log[ents[i].index % RING];
        s->term = ents[i].term;
        s->type = ents[i].type;
        s->len = ents[i].len;
        if (s->len > 0)
            memcpy(s->data, ents[i].data, s->len);
    }
}

static uint32_t log_fit(void *ctx, raft_index lo, raft_index hi, uint64_t max, uint64_t *bytes)
{
    const struct member *m = ctx;
    uint32_t n = 0;
    *bytes = 0;
    for (; lo + n < hi; n++) {
        uint32_t len = m->log != NULL ? m->log[(lo + n) % RING].len : 0;
        if (n > 0 && *bytes + len > max)
            break;
        *bytes += len;
    }
    return n;
}

static bool log_snapshot(void *ctx, struct raft_snap *ret)
{
    (void)ctx, (void)ret;
    return false;
}

/* ---- Driving ------------------------------------------------------------------------------------------------ */

static void catch_up(struct member *m)
{
    if (m->g->now == m->told)
        return;
    raft_tick(m->r, (uint32_t)(m->g->now - m->told));
    m->told = m->g->now;
}

static void deliver(struct member *from, const struct raft_msg *out)
{
    static struct raft_ent ents[RING];
    struct raft_msg m = *out;
    struct member *to = &from->g->m[m.to - 1];
    for (uint32_t i = 0; i < m.nents; i++) {
        const struct slot *s = from->log != NULL ? &from->log[(m.first + i) % RING] : NULL;
        raft_term term = 0;
        if (s == NULL && !raft_term_of(from->r, m.first + i, &term))
            die("an entry is gone");
        ents[i] = (struct raft_ent){ .index = m.first + i, .term = s != NULL ? s->term : term };
        if (s != NULL) {
            ents[i].len = s->len;
            ents[i].type = s->type;
            ents[i].data = s->data;
        }
    }
    m.ents = ents;
    catch_up(to);
    if (raft_step(to->r, &m) != ERR_OK)
        die("a message was refused");
}

static bool turn(struct member *m)
{
    if (!raft_has_ready(m->r))
        return false;
    const struct raft_ready *rd = raft_ready(m->r);
    for (uint32_t i = 0; i < rd->nmsgs; i++)
        deliver(m, &rd->msgs[i]);
    if (rd->committed.hi > rd->committed.lo)
        m->applied = rd->committed.hi - 1;
    raft_advance(m->r);
    if (m->log != NULL && m->applied > m->compacted + RING / 2) {
        if (raft_compacted(m->r, m->applied - KEEP) != ERR_OK)
            die("the log cannot be compacted");
        m->compacted = m->applied - KEEP;
    }
    return true;
}

static void drain(struct group *g)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned i = 0; i < MEMBERS; i++)
            busy = turn(&g->m[i]) || busy;
    }
}

static void group_open(struct group *g, uint64_t seed, bool payloads)
{
    struct raft_conf conf = { .n = MEMBERS, .voters = (1u << MEMBERS) - 1 };
    for (unsigned i = 0; i < MEMBERS; i++)
        conf.id[i] = i + 1;
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &g->m[i];
        *m = (struct member){ .g = g, .applied = 1 };
        if (payloads && (m->log = calloc(RING, sizeof *m->log)) == NULL)
            die("no memory");
        struct raft_cfg cfg = { .id = i + 1,
                                .seed = seed,
                                .election_tick = 10,
                                .heartbeat_tick = HEARTBEAT,
                                .flags = RAFT_PREVOTE | RAFT_CHECK_QUORUM | RAFT_GATHER,
                                .max_msg_bytes = 1 << 20,
                                .max_inflight_msgs = 1024,
                                .log = { log_append, log_fit, log_snapshot, m } };
        struct raft_boot boot = { .hs = { .term = 1, .commit = 1 },
                                  .snap = { .index = 1, .term = 1, .conf = conf } };
        if (raft_open(&cfg, &boot, &m->r) != ERR_OK)
            die("a group does not open");
    }
    if (raft_campaign(g->m[0].r) != ERR_OK)
        die("no campaign");
    drain(g);
    struct raft_status s;
    raft_status(g->m[0].r, &s);
    if (s.role != RAFT_LEADER)
        die("no leader");
}

static void group_close(struct group *g)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        raft_close(g->m[i].r);
        free(g->m[i].log);
    }
}

/* ---- Measurements ------------------------------------------------------------------------------------------- */

static void committed(unsigned batch, double seconds)
{
    static const uint8_t data[PAYLOAD];
    struct group *g = calloc(1, sizeof *g);
    if (g == NULL)
        die("no memory");
    group_open(g, 1, true);
    for (int warm = 1; warm >= 0; warm--) {
        double start = cpu_seconds(), now = start;
        uint64_t before = g->m[0].applied;
        while (now - start < (warm ? seconds / 4 : seconds)) {
            for (unsigned i = 0; i < 1024; i += batch) {
                struct raft_ent ents[BATCH];
                for (unsigned k = 0; k < batch; k++)
                    ents[k] = (struct raft_ent){ .data = data, .len = PAYLOAD };
                if (raft_propose(g->m[0].r, ents, batch) != ERR_OK)
                    die("a proposal was refused");
                drain(g);
            }
            now = cpu_seconds();
        }
        uint64_t n = g->m[0].applied - before;
        if (!warm)
            printf("%-6s %10.0f entries committed/s of %d bytes\n", batch == 1 ? "one" : "batch",
                   (double)n / (now - start), PAYLOAD);
    }
    for (unsigned i = 1; i < MEMBERS; i++)
        if (g->m[i].applied + 1 < g->m[0].applied)
            die("a follower is behind");
    group_close(g);
    free(g);
}

/* A node's timer wheel: who is due is told the ticks that it has missed, as is everybody who gets a message; then its
 * deadline is asked anew. Followers' deadlines move away with every heartbeat, so they are only asked again. */
static void wheel_arm(struct member *m, struct member *wheel[WHEEL])
{
    uint32_t deadline = raft_deadline(m->r);
    if (deadline == UINT32_MAX)
        return;
    struct member **slot = &wheel[(m->g->now + deadline) % WHEEL];
    m->next = *slot;
    *slot = m;
}

static void wheel_run(struct group *groups, double seconds, const char *name)
{
    static struct member *wheel[WHEEL];
    uint64_t ticks = 0, woken = 0;
    memset(wheel, 0, sizeof wheel);
    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned k = 0; k < MEMBERS; k++) {
            groups[i].now = 0;
            groups[i].m[k].told = 0;
            wheel_arm(&groups[i].m[k], wheel);
        }
    double start = cpu_seconds(), now = start;
    while (now - start < seconds && ticks < 100000000) {
        ticks++;
        struct member *due = wheel[ticks % WHEEL];
        wheel[ticks % WHEEL] = NULL;
        while (due != NULL) {
            struct member *m = due;
            due = m->next;
            m->g->now = ticks;
            catch_up(m);
            drain(m->g);
            wheel_arm(m, wheel);
            woken++;
        }
        if (woken == 0 ? ticks % 1000000 == 0 : true)
            now = cpu_seconds();
    }
    now = cpu_seconds();
    printf(
        "%-6s %10.1f ticks/s of all %d groups by their deadlines, %.0f of %d members woken a tick: "
        "%.2f %% of a core at 100 ms a tick\n",
        name, (double)ticks / (now - start), GROUPS, (double)woken / (double)ticks,
        GROUPS * MEMBERS, 1000 * (now - start) / (double)ticks);
}

static void idle(double seconds)
{
    struct group *groups = calloc(GROUPS, sizeof *groups);
    if (groups == NULL)
        die("no memory");
    size_t bytes = 0;
    for (unsigned i = 0; i < GROUPS; i++) {
        group_open(&groups[i], i, false);
        for (unsigned k = 0; k < MEMBERS; k++) {
            struct raft_status s;
            raft_trim(groups[i].m[k].r);
            raft_status(groups[i].m[k].r, &s);
            if (s.bytes > bytes)
                bytes = s.bytes;
        }
    }
    printf("idle   %10zu bytes a member of a group of three, at most\n", bytes);

    for (unsigned i = 0; i < GROUPS * MEMBERS * HEARTBEAT;
         i++) { /* memory that was trimmed comes back */
        raft_tick(groups[i / MEMBERS % GROUPS].m[i % MEMBERS].r, 1);
        drain(&groups[i / MEMBERS % GROUPS]);
    }
    double start = cpu_seconds(), now = start;
    uint64_t ticks = 0;
    for (; now - start < seconds; ticks++, now = cpu_seconds())
        for (unsigned i = 0; i < GROUPS; i++) {
            for (unsigned k = 0; k < MEMBERS; k++)
                raft_tick(groups[i].m[k].r, 1);
            drain(&groups[i]);
        }
    printf("ticks  %10.1f/s of all %d groups, every member ticked\n", (double)ticks / (now - start),
           GROUPS);

    wheel_run(groups, seconds, "due");
    unsigned asleep = 0;
    for (unsigned i = 0; i < GROUPS; i++) {
        raft_tick(groups[i].m[0].r, HEARTBEAT); /* everybody has been heard of lately */
        drain(&groups[i]);
        asleep += raft_sleep(groups[i].m[0].r) == ERR_OK;
        drain(&groups[i]);
    }
    wheel_run(groups, seconds, "asleep");
    printf("quiet  %10u of %d groups fell asleep\n", asleep, GROUPS);
    for (unsigned i = 0; i < GROUPS; i++)
        group_close(&groups[i]);
    free(groups);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    if (seconds <= 0 || argc > 2) {
        fprintf(stderr, "usage: raft_core [SECONDS]\n");
        return 2;
    }
    committed(1, seconds);
    committed(BATCH, seconds);
    idle(seconds);
    return 0;
}
