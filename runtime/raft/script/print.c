/* How things look: etcd-io/raft's Describe functions, in their words. */
#include "script.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const type_names[RAFT_MSG_TYPES] = {
    [RAFT_MSG_PROP] = "MsgProp",
    [RAFT_MSG_APP] = "MsgApp",
    [RAFT_MSG_APP_RESP] = "MsgAppResp",
    [RAFT_MSG_VOTE] = "MsgVote",
    [RAFT_MSG_VOTE_RESP] = "MsgVoteResp",
    [RAFT_MSG_PREVOTE] = "MsgPreVote",
    [RAFT_MSG_PREVOTE_RESP] = "MsgPreVoteResp",
    [RAFT_MSG_SNAP] = "MsgSnap",
    [RAFT_MSG_HEARTBEAT] = "MsgHeartbeat",
    [RAFT_MSG_HEARTBEAT_RESP] = "MsgHeartbeatResp",
    [RAFT_MSG_TRANSFER] = "MsgTransferLeader",
    [RAFT_MSG_TIMEOUT_NOW] = "MsgTimeoutNow",
    [RAFT_MSG_READ] = "MsgReadIndex",
    [RAFT_MSG_READ_RESP] = "MsgReadIndexResp",
    [RAFT_MSG_SLEEP] = "MsgSleep",
    [RAFT_MSG_STORE_APPEND] = "MsgStorageAppend",
    [RAFT_MSG_STORE_APPEND_RESP] = "MsgStorageAppendResp",
    [RAFT_MSG_STORE_APPLY] = "MsgStorageApply",
    [RAFT_MSG_STORE_APPLY_RESP] = "MsgStorageApplyResp",
};

void say(struct buf *out, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0 || buf_append(out, bytes_from(text, (size_t)n)) != ERR_OK)
        abort();
    free(text);
}

const char *print_role(enum raft_role role)
{
    static const char *const names[] = { [RAFT_FOLLOWER] = "StateFollower",
                                         [RAFT_PRECANDIDATE] = "StatePreCandidate",
                                         [RAFT_CANDIDATE] = "StateCandidate",
                                         [RAFT_LEADER] = "StateLeader" };
    return names[role];
}

int parse_type(const char *name)
{
    for (int i = 0; i < RAFT_MSG_TYPES; i++)
        if (strcmp(type_names[i], name) == 0)
            return i;
    return -1;
}

/* Go's %q for what scripts hold. */
static void print_quoted(struct buf *out, struct bytes text)
{
    say(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            say(out, "\\%c", c);
        else if (c == '\n')
            say(out, "\\n");
        else if (c == '\t')
            say(out, "\\t");
        else if (isprint(c))
            say(out, "%c", c);
        else
            say(out, "\\x%02x", c);
    }
    say(out, "\"");
}

void print_entry(struct buf *out, const struct raft_ent *ent)
{
    struct raft_cc cc;
    say(out, "%" PRIu64 "/%" PRIu64 " ", ent->term, ent->index);
    if (ent->type != RAFT_ENT_CONF) {
        say(out, "EntryNormal ");
        print_quoted(out, bytes_from(ent->data, ent->len));
        return;
    }
    if (raft_cc_decode(ent->data, ent->len, &cc) != ERR_OK) {
        say(out, "EntryConfChangeV2 ?");
        return;
    }
    /* The driver marks a change of the first form by a byte behind it. */
    uint8_t head[RAFT_CC_BYTES_MAX];
    bool first_form = ent->len > raft_cc_encode(&cc, head);
    say(out, first_form ? "EntryConfChange" : "EntryConfChangeV2");
    for (unsigned i = 0; i < cc.n; i++)
        say(out, " %c%" PRIu64, "vlru"[cc.change[i].kind], cc.change[i].id);
}

static void print_set(struct buf *out, const struct raft_conf *c, uint16_t set, const char *fmt)
{
    bool some = false;
    for (unsigned i = 0; i < c->n; i++)
        if (set >> i & 1) {
            say(out, "%s", some ? " " : "");
            say(out, fmt[0] == 'x' ? "%" PRIx64 : "%" PRIu64, c->id[i]);
            some = true;
        }
}

void print_snap(struct buf *out, const struct raft_snap *snap)
{
    const struct raft_conf *c = &snap->conf;
    say(out, "Index:%" PRIu64 " Term:%" PRIu64 " ConfState:Voters:[", snap->index, snap->term);
    print_set(out, c, c->voters, "d");
    say(out, "] VotersOutgoing:[");
    print_set(out, c, c->outgoing, "d");
    say(out, "] Learners:[");
    print_set(out, c, c->learners, "d");
    say(out, "] LearnersNext:[");
    print_set(out, c, c->learners_next, "d");
    say(out, "] AutoLeave:%s", c->auto_leave ? "true" : "false");
}

void print_conf(struct buf *out, const struct raft_conf *c)
{
    say(out, "voters=(");
    print_set(out, c, c->voters, "x");
    say(out, ")");
    if (c->outgoing != 0) {
        say(out, "&&(");
        print_set(out, c, c->outgoing, "x");
        say(out, ")");
    }
    if (c->learners != 0) {
        say(out, " learners=(");
        print_set(out, c, c->learners, "x");
        say(out, ")");
    }
    if (c->learners_next != 0) {
        say(out, " learners_next=(");
        print_set(out, c, c->learners_next, "x");
        say(out, ")");
    }
    if (c->auto_leave)
        say(out, " autoleave");
}

void print_progress(struct buf *out, const struct raft_peer_status *p)
{
    static const char *const states[] = { "StateProbe", "StateReplicate", "StateSnapshot" };
    say(out, "%" PRIu64 ": %s match=%" PRIu64 " next=%" PRIu64, p->id, states[p->state], p->match,
        p->next);
    if (p->learner)
        say(out, " learner");
    if (p->paused)
        say(out, " paused");
    if (p->pending_snap > 0)
        say(out, " pendingSnap=%" PRIu64, p->pending_snap);
    if (!p->active)
        say(out, " inactive");
    if (p->inflight > 0)
        say(out, " inflight=%u%s", p->inflight, p->full ? "[full]" : "");
    say(out, "\n");
}

static void print_id(struct buf *out, raft_id id)
{
    if (id == RAFT_APPEND_THREAD)
        say(out, "AppendThread");
    else if (id == RAFT_APPLY_THREAD)
        say(out, "ApplyThread");
    else if (id == RAFT_NONE)
        say(out, "None");
    else
        say(out, "%" PRIx64, id);
}

static bool places_in_index(const struct raft_msg *m)
{
    return m->type != RAFT_MSG_STORE_APPLY_RESP; /* there `hint` counts bytes */
}

void print_message(struct buf *out, const struct wire *w, const char *indent)
{
    const struct raft_msg *m = &w->m;
    say(out, "%s", indent);
    print_id(out, m->from);
    say(out, "->");
    print_id(out, m->to);
    say(out, " %s Term:%" PRIu64 " Log:%" PRIu64 "/%" PRIu64, type_names[m->type], m->term,
        m->log_term, places_in_index(m) ? m->index : 0);
    if (m->reject)
        say(out, " Rejected (Hint: %" PRIu64 ")", m->hint);
    if (m->commit != 0)
        say(out, " Commit:%" PRIu64, m->commit);
    if (m->vote != 0)
        say(out, " Vote:%" PRIu64, m->vote);
    if (m->nents == 1) {
        say(out, " Entries:[");
        print_entry(out, &w->ents[0]);
        say(out, "]");
    } else if (m->nents > 1) {
        say(out, " Entries:[");
        for (uint32_t i = 0; i < m->nents; i++) {
            say(out, "\n%s  ", indent);
            print_entry(out, &w->ents[i]);
        }
        say(out, "\n%s]", indent);
    }
    if (m->snap != NULL) {
        say(out, "\n%s  Snapshot: ", indent);
        print_snap(out, m->snap);
    }
    if (w->nresp > 0) {
        char deeper[64];
        snprintf(deeper, sizeof deeper, "%s  ", indent);
        say(out, " Responses:[");
        for (uint32_t i = 0; i < w->nresp; i++) {
            say(out, "\n");
            print_message(out, &w->resp[i], deeper);
        }
        say(out, "\n%s]", indent);
    }
}

unsigned parse_changes(const char *text, struct raft_cc_one *ret)
{
    unsigned n = 0;
    char kind;
    unsigned long id;
    int used;
    while (sscanf(text, " %c%lu%n", &kind, &id, &used) == 2) {
        const char *kinds = "vlru", *at = strchr(kinds, kind);
        if (at == NULL || n == RAFT_MAX_PEERS)
            abort();
        ret[n++] = (struct raft_cc_one){ (enum raft_cc_kind)(at - kinds), id };
        text += used;
    }
    return n;
}
