/* The commands of a script (script.h): what each does to the nodes. */
#include "script_int.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- Nodes -------------------------------------------------------------------------------------------------- */

static struct node *node_of(struct env_nodes *env, unsigned long id)
{
    if (id == 0 || id > env->n) {
        fprintf(stderr, "raft_script: there is no node %lu\n", id);
        exit(2);
    }
    return env->nodes[id - 1];
}

static struct node *first_node(struct env_nodes *env, const struct script_cmd *cmd)
{
    return node_of(env, cmd->nargs > 0 ? strtoul(cmd->args[0].key, NULL, 10) : 0);
}

static void conf_add(struct raft_conf *c, const struct script_arg *arg, bool learner)
{
    for (unsigned i = 0; arg != NULL && i < arg->count; i++) {
        raft_id id = strtoul(arg->value[i], NULL, 10);
        unsigned place = c->n++;
        for (; place > 0 && c->id[place - 1] > id; place--) /* ids ascend in every script */
            abort();
        c->id[place] = id;
        if (learner)
            c->learners |= (uint16_t)(1u << place);
        else
            c->voters |= (uint16_t)(1u << place);
    }
}

static void cmd_add_nodes(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    unsigned long count = strtoul(cmd->args[0].key, NULL, 10);
    struct raft_conf conf = { 0 };
    const struct script_arg *voters = script_arg(cmd, "voters"),
                            *learners = script_arg(cmd, "learners");
    unsigned long index = script_number(cmd, "index", 0);
    (void)out;
    conf_add(&conf, voters, false);
    conf_add(&conf, learners, true);
    unsigned flags = 0;
    flags |= script_flag(cmd, "prevote") ? RAFT_PREVOTE : 0u;
    flags |= script_flag(cmd, "checkquorum") ? RAFT_CHECK_QUORUM : 0u;
    flags |= script_flag(cmd, "async-storage-writes") ? RAFT_ASYNC : 0u;
    flags |= script_flag(cmd, "step-down-on-removal") ? RAFT_STEP_DOWN_ON_REMOVAL : 0u;
    flags |= script_flag(cmd, "transfer-on-removal") ? RAFT_TRANSFER_ON_REMOVAL : 0u;
    flags |= script_flag(cmd, "commit-in-vote") ? RAFT_COMMIT_IN_VOTE : 0u;
    flags |= script_flag(cmd, "disable-conf-change-validation") ? RAFT_NO_CONF_CHECK : 0u;
    if (strcmp(script_value(cmd, "read-only", "safe"), "lease-based") == 0)
        flags |= RAFT_LEASE_READ;
    for (unsigned long i = 0; i < count && env->n < NODES_MAX; i++) {
        struct raft_snap snap = { .index = index, .term = 1, .conf = conf };
        struct raft_cfg cfg = {
            .id = env->n + 1,
            .seed = 1,
            .election_tick = (uint16_t)script_number(cmd, "election-tick", 3),
            .heartbeat_tick = (uint16_t)script_number(cmd, "heartbeat-tick", 1),
            .no_jitter = env->no_jitter,
            .flags = flags,
            .max_inflight_msgs = (uint32_t)script_number(cmd, "inflight", INT32_MAX),
            .max_msg_bytes = script_number(cmd, "max-size-per-msg", 0),
            .max_apply_bytes = script_number(cmd, "max-committed-size-per-ready", 0),
        };
        env->nodes[env->n] = node_new(env, &cfg, index > 0 ? &snap : NULL);
        env->n++;
    }
}

/* ---- Delivery ----------------------------------------------------------------------------------------------- */

/* The messages of txt. */
static const char *refusal(err_t rc)
{
    switch (rc) {
    case ERR_OK:
        return NULL;
    case ERR_UNAVAILABLE:
    case ERR_SERVER_IS_BUSY:
        return "raft proposal dropped";
    case ERR_NOT_FOUND:
        return "raft: cannot step as peer not found";
    default:
        return err_name(rc);
    }
}

static unsigned deliver(struct env_nodes *env, raft_id to, int type, bool drop, unsigned long limit,
                        struct buf *out)
{
    struct queue mine = { 0 };
    for (size_t i = 0; i < env->flight.n && mine.n < limit;) {
        const struct raft_msg *m = &env->flight.items[i].m;
        if (m->to == to && !(drop && local_message(m)) && (type < 0 || m->type == type))
            queue_push(&mine, queue_take(&env->flight, i));
        else
            i++;
    }
    for (size_t i = 0; i < mine.n; i++) {
        struct wire *w = &mine.items[i];
        if (drop)
            say(out, "dropped: ");
        print_message(out, w, "");
        say(out, "\n");
        if (!drop) {
            const char *why = refusal(raft_step(node_of(env, to)->r, wire_msg(w)));
            if (why != NULL)
                say(out, "%s\n", why);
        }
    }
    unsigned n = (unsigned)mine.n;
    queue_free(&mine);
    return n;
}

static void cmd_deliver(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    unsigned handled = 0;
    int type = -1;
    unsigned long limit = script_number(cmd, "n", ULONG_MAX);
    if (script_arg(cmd, "type") != NULL)
        type = parse_type(script_value(cmd, "type", ""));
    for (unsigned a = 0; a < cmd->nargs; a++) {
        const struct script_arg *arg = &cmd->args[a];
        if (arg->count == 0)
            handled += deliver(env, strtoul(arg->key, NULL, 10), type, false, limit, out);
        for (unsigned i = 0; strcmp(arg->key, "drop") == 0 && i < arg->count; i++)
            handled += deliver(env, strtoul(arg->value[i], NULL, 10), type, true, limit, out);
    }
    if (handled == 0)
        say(out, "no messages\n");
}

/* Appends `from` with every line indented by two. */
static void say_indented(struct buf *out, struct buf *from)
{
    bool start = true;
    for (size_t i = 0; i < from->len; i++) {
        if (start)
            say(out, "  ");
        start = from->data[i] == '\n';
        if (buf_append(out, bytes_from(from->data + i, 1)) != ERR_OK)
            abort();
    }
    if (!start)
        say(out, "\n");
    buf_clear(from);
}

static bool has_mail(const struct env_nodes *env, raft_id id)
{
    for (size_t i = 0; i < env->flight.n; i++)
        if (env->flight.items[i].m.to == id)
            return true;
    return false;
}

static void stabilize(struct env_nodes *env, struct node **nodes, unsigned n, struct buf *out)
{
    struct buf text = { 0 };
    for (bool done = false; !done;) {
        done = true;
        for (unsigned i = 0; i < n; i++)
            if (raft_has_ready(nodes[i]->r)) {
                say(out, "> %" PRIu64 " handling Ready\n", nodes[i]->id);
                node_ready(env, nodes[i], &text);
                say_indented(out, &text);
                done = false;
            }
        for (unsigned i = 0; i < n; i++)
            if (has_mail(env, nodes[i]->id)) {
                say(out, "> %" PRIu64 " receiving messages\n", nodes[i]->id);
                deliver(env, nodes[i]->id, -1, false, ULONG_MAX, &text);
                say_indented(out, &text);
                done = false;
            }
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned i = 0; i < n; i++) {
                struct queue *work = turn == 0 ? &nodes[i]->append_work : &nodes[i]->apply_work;
                if (work->n == 0)
                    continue;
                say(out, "> %" PRIu64 " processing %s thread\n", nodes[i]->id,
                    turn == 0 ? "append" : "apply");
                while (work->n > 0) {
                    node_thread(env, nodes[i], turn == 0, &text);
                    say_indented(out, &text);
                }
                done = false;
            }
    }
    buf_free(&text);
}

static void cmd_stabilize(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct node *nodes[NODES_MAX];
    unsigned n = 0;
    bool quiet = env->quiet;
    for (unsigned i = 0; i < cmd->nargs; i++)
        if (cmd->args[i].count == 0)
            nodes[n++] = node_of(env, strtoul(cmd->args[i].key, NULL, 10));
    if (n == 0)
        for (; n < env->n; n++)
            nodes[n] = env->nodes[n];
    size_t before = out->len;
    stabilize(env, nodes, n, out);
    if (strcmp(script_value(cmd, "log-level", ""), "none") == 0)
        out->len = before;
    env->quiet = quiet;
}

/* ---- The other commands ------------------------------------------------------------------------------------- */

static void cmd_process(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct buf text = { 0 };
    bool several = cmd->nargs > 1;
    bool ready = strcmp(cmd->name, "process-ready") == 0;
    bool append = strcmp(cmd->name, "process-append-thread") == 0;
    for (unsigned i = 0; i < cmd->nargs; i++) {
        struct node *node = node_of(env, strtoul(cmd->args[i].key, NULL, 10));
        if (several)
            say(out, "> %" PRIu64 " %s\n", node->id,
                ready    ? "handling Ready"
                : append ? "processing append thread"
                         : "processing apply thread");
        if (ready)
            node_ready(env, node, &text);
        else
            node_thread(env, node, append, &text);
        if (several)
            say_indented(out, &text);
        else
            say(out, "%.*s", (int)text.len, (const char *)text.data);
        buf_clear(&text);
    }
    buf_free(&text);
}

static void say_refusal(struct buf *out, err_t rc)
{
    if (rc != ERR_OK)
        say(out, "%s", refusal(rc));
}

static void cmd_propose(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    const char *text = cmd->nargs > 1 ? cmd->args[1].key : "";
    struct raft_ent ent = { .type = RAFT_ENT_NORMAL, .data = text, .len = (uint32_t)strlen(text) };
    say_refusal(out, raft_propose(first_node(env, cmd)->r, &ent, 1));
}

static void cmd_propose_conf(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct raft_cc cc = { 0 };
    const char *transition = script_value(cmd, "transition", "auto");
    if (strcmp(transition, "implicit") == 0)
        cc.transition = RAFT_CC_IMPLICIT;
    else if (strcmp(transition, "explicit") == 0)
        cc.transition = RAFT_CC_EXPLICIT;
    cc.n = (uint8_t)parse_changes(cmd->input, cc.change);
    bool first_form = script_flag(cmd, "v1");
    say_refusal(
        out, raft_propose_conf(first_node(env, cmd)->r, &cc, bytes_from("1", first_form ? 1 : 0)));
}

static void cmd_status(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct raft_status s;
    raft_status(first_node(env, cmd)->r, &s);
    for (unsigned i = 0; s.role == RAFT_LEADER && i < s.conf.n; i++)
        print_progress(out, &s.peers[i]);
}

static void cmd_raft_state(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)cmd;
    for (unsigned i = 0; i < env->n; i++) {
        struct raft_status s;
        bool voter = false;
        raft_status(env->nodes[i]->r, &s);
        for (unsigned p = 0; p < s.conf.n; p++)
            voter = voter || (s.conf.id[p] == s.id && ((s.conf.voters | s.conf.outgoing) >> p & 1));
        say(out, "%" PRIu64 ": %s (%s) Term:%" PRIu64 " Lead:%" PRIu64 "%s\n", s.id,
            print_role(s.role), voter ? "Voter" : "Non-Voter", s.term, s.lead,
            raft_asleep(env->nodes[i]->r) ? " asleep" : "");
    }
}

static void cmd_compact(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct node *node = first_node(env, cmd);
    raft_index index = strtoul(cmd->args[1].key, NULL, 10);
    raft_term term;
    if (!raft_term_of(node->r, index, &term) || raft_compacted(node->r, index) != ERR_OK) {
        say(out, "cannot compact to %" PRIu64, index);
        return;
    }
    ents_drop(node->stable, &node->nstable, &node->stable_first, index);
    ents_drop(node->cache, &node->ncache, &node->cache_first, index);
    node->stable_base_term = term;
    node_print_log(node, out);
}

static void cmd_send_snapshot(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct node *node = first_node(env, cmd);
    struct raft_status s;
    raft_status(node->r, &s);
    struct raft_msg m = { .type = RAFT_MSG_SNAP,
                          .from = node->id,
                          .to = strtoul(cmd->args[1].key, NULL, 10),
                          .term = s.term,
                          .snap = &node->applied.meta };
    struct wire w = node_wire(node, &m);
    wire_msg(&w);
    print_message(out, &w, "");
    to_flight(env, w);
}

static void cmd_restart(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    struct node *node = first_node(env, cmd);
    (void)out;
    raft_close(node->r);
    node->r = NULL;
    bool lose = strcmp(script_value(cmd, "lose", ""), "unsynced") == 0;
    while (node->append_work.n > 0) {
        struct wire w = queue_take(&node->append_work, 0);
        struct raft_msg *m = wire_msg(&w);
        struct raft_hs hs = { m->term, m->vote, m->commit };
        if (!lose)
            node_store(node, m->term != 0 ? &hs : NULL, w.ents, m->nents, m->snap);
        wire_free(&w);
    }
    queue_free(&node->apply_work);
    for (size_t i = 0; i < env->flight.n;) { /* what its threads had to tell it is gone */
        if (env->flight.items[i].m.to == node->id && local_message(&env->flight.items[i].m)) {
            struct wire w = queue_take(&env->flight, i);
            wire_free(&w);
        } else {
            i++;
        }
    }
    ents_drop(node->cache, &node->ncache, &node->cache_first,
              node->ncache > 0 ? node->cache_first + node->ncache - 1 : 0);
    node->ncache = 0;
    node->cache_first = node->stable_first;
    ents_put(&node->cache, &node->ncache, &node->cache_cap, &node->cache_first, node->stable,
             (uint32_t)node->nstable);
    node_open(node, true);
}

/* partition (1,2)|(3) */
static void cmd_partition(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    unsigned group = 0;
    (void)out;
    for (unsigned a = 0; a < cmd->nargs; a++)
        for (const char *at = cmd->args[a].key; *at != '\0'; at++) {
            if (*at == '(')
                group++;
            else if (*at >= '0' && *at <= '9')
                env->cut[strtoul(at, NULL, 10) % (NODES_MAX + 1)] = group;
        }
    for (size_t i = 0; i < env->flight.n;) {
        const struct raft_msg *m = &env->flight.items[i].m;
        if (!local_message(m) && cut_off(env, m->from, m->to)) {
            struct wire w = queue_take(&env->flight, i);
            wire_free(&w);
        } else {
            i++;
        }
    }
}

static void cmd_dup(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    raft_id to = strtoul(cmd->args[0].key, NULL, 10);
    size_t n = env->flight.n;
    (void)out;
    for (size_t i = 0; i < n; i++)
        if (env->flight.items[i].m.to == to && !local_message(&env->flight.items[i].m)) {
            struct wire w;
            wire_copy(&w, &env->flight.items[i]);
            queue_push(&env->flight, w);
        }
}

static void cmd_shuffle(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    uint64_t x = script_number(cmd, "seed", 1);
    (void)out;
    for (size_t i = env->flight.n; i > 1; i--) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t j = (size_t)((x >> 33) % i);
        struct wire t = env->flight.items[i - 1];
        env->flight.items[i - 1] = env->flight.items[j];
        env->flight.items[j] = t;
    }
}

static void cmd_simple(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    const char *name = cmd->name;
    if (strcmp(name, "transfer-leadership") == 0) {
        struct node *from = node_of(env, script_number(cmd, "from", 0));
        say_refusal(out, raft_transfer(from->r, script_number(cmd, "to", 0)));
        return;
    }
    struct node *node = first_node(env, cmd);
    raft_id peer = cmd->nargs > 1 ? strtoul(cmd->args[1].key, NULL, 10) : RAFT_NONE;
    if (strcmp(name, "campaign") == 0)
        say_refusal(out, raft_campaign(node->r));
    else if (strcmp(name, "tick-heartbeat") == 0)
        raft_tick(node->r, node->cfg.heartbeat_tick);
    else if (strcmp(name, "tick-election") == 0)
        raft_tick(node->r, node->cfg.election_tick);
    else if (strcmp(name, "set-randomized-election-timeout") == 0)
        raft_set_election_timeout(node->r, (uint32_t)script_number(cmd, "timeout", 3));
    else if (strcmp(name, "forget-leader") == 0)
        say(out, "%s",
            raft_forget_leader(node->r) == ERR_OK
                ? ""
                : "ERROR ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    else if (strcmp(name, "report-unreachable") == 0)
        raft_unreachable(node->r, peer);
    else if (strcmp(name, "report-snapshot") == 0)
        raft_snap_done(node->r, peer, cmd->nargs > 2 && strcmp(cmd->args[2].key, "ok") == 0);
    else if (strcmp(name, "read-index") == 0)
        say_refusal(out, raft_read_index(node->r, peer));
    else if (strcmp(name, "raft-log") == 0)
        node_print_log(node, out);
    else
        abort();
}

static void cmd_tick(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)out;
    raft_tick(first_node(env, cmd)->r, (uint32_t)script_number(cmd, "n", 1));
}

static void cmd_sleep(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    err_t rc = raft_sleep(first_node(env, cmd)->r);
    if (rc != ERR_OK)
        say(out, "%s", err_name(rc));
}

static void cmd_wake(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)out;
    raft_wake(first_node(env, cmd)->r, cmd->nargs > 1 && strcmp(cmd->args[1].key, "lost") == 0);
}

static void cmd_log_level(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)out;
    env->quiet = cmd->nargs > 0 && strcasecmp(cmd->args[0].key, "none") == 0;
}

static void cmd_heal(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)cmd, (void)out;
    memset(env->cut, 0, sizeof env->cut);
}

static void cmd_nothing(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    (void)env, (void)cmd, (void)out;
}

static const struct {
    const char *name;
    void (*run)(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out);
} commands[] = {
    { "add-nodes", cmd_add_nodes },
    { "campaign", cmd_simple },
    { "compact", cmd_compact },
    { "deliver-msgs", cmd_deliver },
    { "dup-msgs", cmd_dup },
    { "forget-leader", cmd_simple },
    { "heal", cmd_heal },
    { "invariants", cmd_nothing }, /* they run after every call of the core */
    { "log-level", cmd_log_level },
    { "partition", cmd_partition },
    { "process-append-thread", cmd_process },
    { "process-apply-thread", cmd_process },
    { "process-ready", cmd_process },
    { "propose", cmd_propose },
    { "propose-conf-change", cmd_propose_conf },
    { "raft-log", cmd_simple },
    { "raft-state", cmd_raft_state },
    { "read-index", cmd_simple },
    { "report-snapshot", cmd_simple },
    { "report-unreachable", cmd_simple },
    { "restart", cmd_restart },
    { "send-snapshot", cmd_send_snapshot },
    { "set-randomized-election-timeout", cmd_simple },
    { "shuffle", cmd_shuffle },
    { "sleep", cmd_sleep },
    { "stabilize", cmd_stabilize },
    { "status", cmd_status },
    { "tick", cmd_tick },
    { "tick-election", cmd_simple },
    { "tick-heartbeat", cmd_simple },
    { "transfer-leadership", cmd_simple },
    { "wake", cmd_wake },
    { "_breakpoint", cmd_nothing },
};

struct env_nodes *nodes_new(bool no_jitter)
{
    struct env_nodes *env = must(calloc(1, sizeof *env));
    env->no_jitter = no_jitter;
    return env;
}

void nodes_free(struct env_nodes *env)
{
    for (unsigned i = 0; i < env->n; i++)
        node_free(env->nodes[i]);
    queue_free(&env->flight);
    free(env);
}

bool nodes_run(struct env_nodes *env, const struct script_cmd *cmd, struct buf *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, cmd->name) != 0)
            continue;
        commands[i].run(env, cmd, out);
        if (env->quiet)
            buf_clear(out);
        for (unsigned n = 0; n < env->n; n++) {
            struct raft_status s;
            raft_status(env->nodes[n]->r, &s);
            if (s.broken)
                say(out, "node %" PRIu64 " is broken: %s\n", s.id, s.why);
        }
        return true;
    }
    return false;
}
