/* The quorum and confchange tables of etcd-io/raft, on the algebra alone. Each case is also computed in the other ways
 * that must agree (halves swapped, joint with itself and with nothing, values above the result lowered); a
 * disagreement is printed, and so differs from every expected text. */
#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf.h"
#include "quorum.h"

struct table {
    struct raft_conf conf;
    raft_index last;
    struct raft_peer_status peers[RAFT_MAX_PEERS];
};

struct table *table_new(void)
{
    struct table *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    return t;
}

void table_free(struct table *table)
{
    free(table);
}

/* ---- Quorums ------------------------------------------------------------------------------------------------ */

struct quorum_case {
    unsigned n; /* members, ids ascending */
    raft_id id[RAFT_MAX_PEERS];
    uint16_t cfg, cfgj;
    raft_index value[RAFT_MAX_PEERS]; /* 0: not known; votes: 1 no, 2 yes */
    bool joint;
};

static unsigned case_place(struct quorum_case *c, raft_id id)
{
    unsigned place = 0;
    while (place < c->n && c->id[place] != id)
        place++;
    if (place == c->n) {
        if (c->n == RAFT_MAX_PEERS)
            abort();
        c->id[c->n++] = id; /* in the order of naming: the values come in that order */
    }
    return place;
}

static uint16_t case_set(struct quorum_case *c, const struct script_arg *arg)
{
    uint16_t set = 0;
    for (unsigned i = 0; arg != NULL && i < arg->count; i++)
        if (strcmp(arg->value[i], "zero") != 0)
            set |= (uint16_t)(1u << case_place(c, strtoul(arg->value[i], NULL, 10)));
    return set;
}

static raft_index case_value(const char *text)
{
    if (strcmp(text, "y") == 0)
        return 2;
    if (strcmp(text, "n") == 0)
        return 1;
    return strcmp(text, "_") == 0 ? 0 : strtoul(text, NULL, 10);
}

static bool case_read(const struct script_cmd *cmd, const char *values, struct quorum_case *c,
                      struct buf *out)
{
    const struct script_arg *arg = script_arg(cmd, values);
    *c = (struct quorum_case){ .joint = script_arg(cmd, "cfgj") != NULL };
    c->cfg = case_set(c, script_arg(cmd, "cfg"));
    c->cfgj = case_set(c, script_arg(cmd, "cfgj"));
    if ((arg != NULL ? arg->count : 0) != c->n) {
        say(out, "error: mismatched input (explicit or _) for %u voters", c->n);
        return false;
    }
    for (unsigned i = 0; arg != NULL && i < arg->count; i++)
        c->value[i] = case_value(arg->value[i]);
    return true;
}

/* A bar per member, longer for greater values, in the order of ids. */
static void describe(const struct quorum_case *c, struct buf *out)
{
    unsigned printed = 0;
    if (c->n == 0) {
        say(out, "<empty majority quorum>");
        return;
    }
    say(out, "%*s    idx\n", (int)c->n, "");
    for (raft_id id = 0; printed < c->n; id++)
        for (unsigned i = 0; i < c->n; i++) {
            if (c->id[i] != id)
                continue;
            unsigned bar = 0;
            bool again = false; /* of equal values the first alone has its bar */
            for (unsigned k = 0; k < c->n; k++) {
                bar += c->value[k] < c->value[i];
                again = again || (c->value[k] == c->value[i] && c->id[k] < id);
            }
            bar = again ? 0 : bar;
            if (c->value[i] == 0) {
                say(out, "?%*s", (int)c->n, "");
            } else {
                for (unsigned k = 0; k < bar; k++)
                    say(out, "x");
                say(out, ">%*s", (int)(c->n - bar), "");
            }
            say(out, " %5" PRIu64 "    (id=%" PRIx64 ")\n", c->value[i], id);
            printed++;
        }
}

static void say_index(struct buf *out, raft_index index, const char *via)
{
    if (index == UINT64_MAX)
        say(out, "∞");
    else
        say(out, "%" PRIu64, index);
    say(out, via != NULL ? " <-- via %s\n" : "\n", via);
}

/* Straight from the definition: the largest value that a majority has reached. */
static raft_index by_definition(uint16_t half, const raft_index *value)
{
    raft_index best = half == 0 ? UINT64_MAX : 0;
    for (unsigned i = 0; i < RAFT_MAX_PEERS; i++) {
        unsigned reached = 0, members = 0;
        for (unsigned k = 0; k < RAFT_MAX_PEERS; k++)
            if (half >> k & 1) {
                members++;
                reached += value[k] >= value[i];
            }
        if ((half >> i & 1) && reached > members / 2 && value[i] > best)
            best = value[i];
    }
    return best;
}

static void run_committed(const struct script_cmd *cmd, struct buf *out)
{
    struct quorum_case c;
    if (!case_read(cmd, "idx", &c, out))
        return;
    describe(&c, out);
    raft_index index = quorum_committed(c.cfg, c.cfgj, c.value);
    raft_index a = by_definition(c.cfg, c.value), b = by_definition(c.cfgj, c.value);
    if ((a < b ? a : b) != index)
        say_index(out, a < b ? a : b, "definition");
    if (quorum_committed(c.cfgj, c.cfg, c.value) != index)
        say_index(out, quorum_committed(c.cfgj, c.cfg, c.value), "symmetry");
    if (!c.joint && quorum_committed(c.cfg, c.cfg, c.value) != index)
        say_index(out, quorum_committed(c.cfg, c.cfg, c.value), "self-joint quorum");
    for (unsigned i = 0; i < c.n; i++)
        if (index != UINT64_MAX && c.value[i] < index) {
            struct quorum_case lower = c;
            lower.value[i] = 0;
            if (quorum_committed(c.cfg, c.cfgj, lower.value) != index)
                say_index(out, quorum_committed(c.cfg, c.cfgj, lower.value), "lowering");
        }
    say_index(out, index, NULL);
}

static const char *vote_name(enum quorum_vote vote)
{
    return vote == QUORUM_WON ? "VoteWon" : vote == QUORUM_LOST ? "VoteLost" : "VotePending";
}

static void run_vote(const struct script_cmd *cmd, struct buf *out)
{
    struct quorum_case c;
    uint16_t yes = 0, no = 0;
    if (!case_read(cmd, "votes", &c, out))
        return;
    for (unsigned i = 0; i < c.n; i++) {
        yes |= (uint16_t)((c.value[i] == 2) << i);
        no |= (uint16_t)((c.value[i] == 1) << i);
    }
    enum quorum_vote vote = quorum_vote(c.cfg, c.cfgj, yes, no);
    if (quorum_vote(c.cfgj, c.cfg, yes, no) != vote)
        say(out, "%s <-- via symmetry\n", vote_name(quorum_vote(c.cfgj, c.cfg, yes, no)));
    if (!c.joint && quorum_vote(c.cfg, c.cfg, yes, no) != vote)
        say(out, "%s <-- via self-joint quorum\n", vote_name(quorum_vote(c.cfg, c.cfg, yes, no)));
    say(out, "%s\n", vote_name(vote));
}

/* ---- Configuration changes ---------------------------------------------------------------------------------- */

static void adopt(struct table *t, const struct raft_conf *conf, uint16_t fresh)
{
    struct raft_peer_status peers[RAFT_MAX_PEERS] = { 0 };
    for (unsigned i = 0; i < conf->n; i++) {
        int old = conf_find(&t->conf, conf->id[i]);
        if (old >= 0 && !(fresh & conf_bit(i)))
            peers[i] = t->peers[old];
        else
            peers[i] =
                (struct raft_peer_status){ .next = t->last > 1 ? t->last : 1, .active = true };
        peers[i].id = conf->id[i];
        peers[i].learner = (conf->learners & conf_bit(i)) != 0;
    }
    t->conf = *conf;
    memcpy(t->peers, peers, sizeof peers);
}

static void run_change(struct table *t, const struct script_cmd *cmd, struct buf *out)
{
    struct raft_cc_one change[RAFT_MAX_PEERS];
    unsigned n = parse_changes(cmd->input, change);
    struct raft_conf conf;
    uint16_t fresh = 0;
    const char *why;
    if (strcmp(cmd->name, "simple") == 0)
        why = conf_simple(&t->conf, change, n, &conf, &fresh);
    else if (strcmp(cmd->name, "enter-joint") == 0)
        why = conf_enter_joint(&t->conf, script_flag(cmd, "autoleave"), change, n, &conf, &fresh);
    else if (n > 0)
        why = "this command takes no input";
    else
        why = conf_leave_joint(&t->conf, &conf, &fresh);
    if (why != NULL) {
        say(out, "%s\n", why);
    } else {
        adopt(t, &conf, fresh);
        print_conf(out, &t->conf);
        say(out, "\n");
        for (unsigned i = 0; i < t->conf.n; i++)
            print_progress(out, &t->peers[i]);
    }
    t->last++; /* after every command: `next` tells when a member came */
}

bool table_run(struct table *table, const struct script_cmd *cmd, struct buf *out)
{
    if (strcmp(cmd->name, "committed") == 0)
        run_committed(cmd, out);
    else if (strcmp(cmd->name, "vote") == 0)
        run_vote(cmd, out);
    else if (strcmp(cmd->name, "simple") == 0 || strcmp(cmd->name, "enter-joint") == 0 ||
             strcmp(cmd->name, "leave-joint") == 0)
        run_change(table, cmd, out);
    else
        return false;
    return true;
}
