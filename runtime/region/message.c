/* Batches of messages. The picture is in message.h, field numbers are those of proto/raftpb.proto.
 *
 * A message's numbers are one array, by field number, so that what is written and what is read is one list; size and
 * bytes come from the same array and cannot disagree. */
#include "message.h"

#include <assert.h>
#include <stdlib.h>

#include "base/pb.h"

enum { BATCH_FROM = 1, BATCH_TO, BATCH_HLC, BATCH_MESSAGE };
enum {
    REGION = 1,
    FROM,
    TO,
    CONF_VER,
    VERSION,
    TYPE,
    TERM,
    LOG_TERM,
    INDEX,
    COMMIT,
    HINT,
    REJECT,
    CTX,
    ENTRIES,
    SNAPSHOT,
    COMMIT_TERM,
    FORCED,
    HELD,
    NUMBERS
};
enum { ENTRY_TERM = 1, ENTRY_TYPE, ENTRY_DATA };
enum { SNAP_INDEX = 1, SNAP_TERM, SNAP_CONF, SNAP_DATA };
enum { CONF_MEMBER = 1, CONF_AUTO_LEAVE };
enum { MEMBER_ID = 1, MEMBER_SETS };
enum { SET_VOTER = 1, SET_OUTGOING = 2, SET_LEARNER = 4, SET_LEARNER_NEXT = 8, SETS = 15 };

static const uint64_t number_max = UINT64_MAX >> 1; /* of ids, terms, indexes */

/* What travels, by its number on the wire; those never change. */
static const uint8_t types[] = {
    [1] = RAFT_MSG_PROP,         [2] = RAFT_MSG_APP,
    [3] = RAFT_MSG_APP_RESP,     [4] = RAFT_MSG_VOTE,
    [5] = RAFT_MSG_VOTE_RESP,    [6] = RAFT_MSG_PREVOTE,
    [7] = RAFT_MSG_PREVOTE_RESP, [8] = RAFT_MSG_SNAP,
    [9] = RAFT_MSG_HEARTBEAT,    [10] = RAFT_MSG_HEARTBEAT_RESP,
    [11] = RAFT_MSG_TRANSFER,    [12] = RAFT_MSG_TIMEOUT_NOW,
    [13] = RAFT_MSG_READ,        [14] = RAFT_MSG_READ_RESP,
    [15] = RAFT_MSG_SLEEP,
};
enum { TYPES = sizeof types / sizeof *types };

static unsigned wire_type(uint8_t type)
{
    unsigned wire = 1;
    while (wire < TYPES && types[wire] != type)
        wire++;
    assert(wire < TYPES); /* the storage threads' messages stay in the process */
    return wire;
}

static bool has_entries(uint8_t type)
{
    return type == RAFT_MSG_APP || type == RAFT_MSG_PROP;
}

/* ---- Writing ------------------------------------------------------------------------------------------------ */

struct sizes {
    size_t conf, snap, message; /* bytes inside each */
};

static void gather(const struct region_message *m, uint64_t v[NUMBERS])
{
    const struct raft_msg *r = &m->raft;
    const uint64_t all[NUMBERS] = {
        [REGION] = m->region_id,
        [FROM] = r->from,
        [TO] = r->to,
        [CONF_VER] = m->conf_ver,
        [VERSION] = m->version,
        [TYPE] = wire_type(r->type),
        [TERM] = r->term,
        [LOG_TERM] = r->log_term,
        [INDEX] = r->index,
        [COMMIT] = r->commit,
        [HINT] = r->hint,
        [REJECT] = r->reject,
        [CTX] = r->ctx,
        [COMMIT_TERM] = r->commit_term,
        [FORCED] = r->forced,
        [HELD] = m->held,
    };
    memcpy(v, all, sizeof all);
}

static unsigned sets_of(const struct raft_conf *c, unsigned place)
{
    unsigned bit = 1u << place;
    return (c->voters & bit ? SET_VOTER : 0) | (c->outgoing & bit ? SET_OUTGOING : 0) |
           (c->learners & bit ? SET_LEARNER : 0) | (c->learners_next & bit ? SET_LEARNER_NEXT : 0);
}

static size_t member_size(const struct raft_conf *c, unsigned place)
{
    return pb_u64_size(MEMBER_ID, c->id[place]) + pb_u64_size(MEMBER_SETS, sets_of(c, place));
}

static size_t entry_size(const struct raft_ent *ent)
{
    return pb_u64_size(ENTRY_TERM, ent->term) + pb_u64_size(ENTRY_TYPE, ent->type) +
           pb_bytes_size(ENTRY_DATA, ent->len);
}

static void snap_size(const struct region_message *m, struct sizes *s)
{
    const struct raft_snap *snap = m->raft.snap;
    s->conf = pb_u64_size(CONF_AUTO_LEAVE, snap->conf.auto_leave);
    for (unsigned i = 0; i < snap->conf.n; i++)
        s->conf += pb_item_size(CONF_MEMBER, member_size(&snap->conf, i));
    s->snap = pb_u64_size(SNAP_INDEX, snap->index) + pb_u64_size(SNAP_TERM, snap->term) +
              pb_item_size(SNAP_CONF, s->conf) + pb_bytes_size(SNAP_DATA, m->snap_data.len);
}

static struct sizes message_size(const struct region_message *m, const uint64_t v[NUMBERS])
{
    struct sizes s = { 0 };
    for (uint32_t i = 1; i < NUMBERS; i++)
        s.message += pb_u64_size(i, v[i]);
    for (uint32_t i = 0; i < m->raft.nents; i++)
        s.message += pb_item_size(ENTRIES, entry_size(&m->raft.ents[i]));
    if (m->raft.snap != NULL) {
        snap_size(m, &s);
        s.message += pb_item_size(SNAPSHOT, s.snap);
    }
    return s;
}

static void put_entry(uint8_t **at, const struct raft_ent *ent)
{
    pb_put_head(at, ENTRIES, entry_size(ent));
    pb_put_u64(at, ENTRY_TERM, ent->term);
    pb_put_u64(at, ENTRY_TYPE, ent->type);
    pb_put_bytes(at, ENTRY_DATA, bytes_from(ent->data, ent->len));
}

static void put_snap(uint8_t **at, const struct region_message *m, const struct sizes *s)
{
    const struct raft_snap *snap = m->raft.snap;
    pb_put_head(at, SNAPSHOT, s->snap);
    pb_put_u64(at, SNAP_INDEX, snap->index);
    pb_put_u64(at, SNAP_TERM, snap->term);
    pb_put_head(at, SNAP_CONF, s->conf);
    for (unsigned i = 0; i < snap->conf.n; i++) {
        pb_put_head(at, CONF_MEMBER, member_size(&snap->conf, i));
        pb_put_u64(at, MEMBER_ID, snap->conf.id[i]);
        pb_put_u64(at, MEMBER_SETS, sets_of(&snap->conf, i));
    }
    pb_put_u64(at, CONF_AUTO_LEAVE, snap->conf.auto_leave);
    pb_put_bytes(at, SNAP_DATA, m->snap_data);
}

/* Ours: what we would refuse is not sent. */
static void check_ours(const struct region_message *m)
{
    const struct raft_msg *r = &m->raft;
    assert(m->region_id != 0 && r->from != RAFT_NONE && r->to != RAFT_NONE);
    assert((r->type == RAFT_MSG_SNAP) == (r->snap != NULL));
    assert(r->nents == 0 || (has_entries(r->type) && r->ents != NULL));
    assert(r->nents <= REGION_MESSAGE_ENTRIES_MAX);
    for (uint32_t i = 0; i < r->nents; i++) {
        assert(r->ents[i].len <= REGION_ENTRY_MAX);
        assert(r->type == RAFT_MSG_PROP || r->ents[i].index == r->index + 1 + i);
    }
}

err_t region_batch_begin(struct buf *out, uint64_t from_store, uint64_t to_store, uint64_t hlc)
{
    assert(out->len == 0 && from_store != 0 && to_store != 0 && hlc != 0);
    size_t size = pb_u64_size(BATCH_FROM, from_store) + pb_u64_size(BATCH_TO, to_store) +
                  pb_fixed64_size(BATCH_HLC, hlc);
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return ERR_NOMEM;
    pb_put_u64(&at, BATCH_FROM, from_store);
    pb_put_u64(&at, BATCH_TO, to_store);
    pb_put_fixed64(&at, BATCH_HLC, hlc);
    out->len = size;
    return ERR_OK;
}

err_t region_batch_add(struct buf *out, const struct region_message *m)
{
    uint64_t v[NUMBERS];
    check_ours(m);
    gather(m, v);
    struct sizes s = message_size(m, v);
    size_t size = pb_item_size(BATCH_MESSAGE, s.message);
    if (size > REGION_BATCH_MAX - out->len)
        return ERR_TOO_LARGE;
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return ERR_NOMEM;
    pb_put_head(&at, BATCH_MESSAGE, s.message);
    for (uint32_t i = 1; i < ENTRIES; i++)
        pb_put_u64(&at, i, v[i]);
    for (uint32_t i = 0; i < m->raft.nents; i++)
        put_entry(&at, &m->raft.ents[i]);
    if (m->raft.snap != NULL)
        put_snap(&at, m, &s);
    for (uint32_t i = SNAPSHOT + 1; i < NUMBERS; i++)
        pb_put_u64(&at, i, v[i]);
    assert(at == out->data + out->len + size);
    out->len += size;
    return ERR_OK;
}

/* ---- Reading ------------------------------------------------------------------------------------------------ */

#define MALFORMED(e, ...) err_set(e, ERR_CORRUPTION, "malformed batch of messages: " __VA_ARGS__)

/* Draws a field whose number, if it is below `count`, has the type that bit `number` of `items` says: bytes or varint.
 * ERR_NOT_FOUND: the end. */
static err_t next_field(struct bytes *in, uint32_t count, uint32_t items, struct pb_field *f,
                        struct err *e)
{
    if (in->len == 0)
        return ERR_NOT_FOUND;
    if (!pb_next(in, f))
        return MALFORMED(e, "a field is cut off, or is none");
    bool known = f->number < count;
    if (known && f->type != (items & 1u << f->number ? PB_BYTES : PB_VARINT))
        return MALFORMED(e, "field %u has type %u", f->number, (unsigned)f->type);
    return ERR_OK;
}

static err_t read_entry(struct bytes in, struct raft_ent *ret, struct err *e)
{
    struct raft_ent ent = { 0 };
    struct pb_field f;
    uint32_t type = 0;
    err_t rc;
    while ((rc = next_field(&in, ENTRY_DATA + 1, 1u << ENTRY_DATA, &f, e)) == ERR_OK) {
        if (f.number == ENTRY_TERM) {
            ent.term = f.value;
        } else if (f.number == ENTRY_TYPE) {
            type = (uint32_t)f.value;
        } else if (f.number == ENTRY_DATA) {
            if (f.bytes.len > REGION_ENTRY_MAX)
                return MALFORMED(e, "an entry of %zu bytes, at most %d go", f.bytes.len,
                                 (int)REGION_ENTRY_MAX);
            ent.data = f.bytes.data;
            ent.len = (uint32_t)f.bytes.len;
        }
    }
    if (rc != ERR_NOT_FOUND)
        return rc;
    if (type > RAFT_ENT_CONF || ent.term > number_max)
        return MALFORMED(e, "an entry of type %u, term %llu", type, (unsigned long long)ent.term);
    ent.type = (uint8_t)type;
    *ret = ent;
    return ERR_OK;
}

static err_t read_member(struct bytes in, struct raft_conf *c, struct err *e)
{
    struct pb_field f;
    uint64_t id = 0;
    uint32_t sets = 0;
    err_t rc;
    while ((rc = next_field(&in, MEMBER_SETS + 1, 0, &f, e)) == ERR_OK) {
        if (f.number == MEMBER_ID)
            id = f.value;
        else if (f.number == MEMBER_SETS)
            sets = (uint32_t)f.value;
    }
    if (rc != ERR_NOT_FOUND)
        return rc;
    if (c->n == RAFT_MAX_PEERS)
        return MALFORMED(e, "a configuration of more than %d members", (int)RAFT_MAX_PEERS);
    if (id > number_max || sets > SETS)
        return MALFORMED(e, "a member %llu in sets %#x", (unsigned long long)id, sets);
    uint16_t bit = (uint16_t)(1u << c->n);
    c->voters |= sets & SET_VOTER ? bit : 0;
    c->outgoing |= sets & SET_OUTGOING ? bit : 0;
    c->learners |= sets & SET_LEARNER ? bit : 0;
    c->learners_next |= sets & SET_LEARNER_NEXT ? bit : 0;
    c->id[c->n++] = id;
    return ERR_OK;
}

static err_t read_conf(struct bytes in, struct raft_conf *ret, struct err *e)
{
    struct raft_conf c = { 0 };
    struct pb_field f;
    err_t rc;
    while ((rc = next_field(&in, CONF_AUTO_LEAVE + 1, 1u << CONF_MEMBER, &f, e)) == ERR_OK) {
        if (f.number == CONF_AUTO_LEAVE)
            c.auto_leave = f.value != 0;
        else if (f.number == CONF_MEMBER && (rc = read_member(f.bytes, &c, e)) != ERR_OK)
            return rc;
    }
    if (rc != ERR_NOT_FOUND)
        return rc;
    const char *why = raft_conf_broken(&c);
    if (why == NULL && c.voters == 0)
        why = "nobody votes";
    if (why != NULL)
        return MALFORMED(e, "a configuration in which %s", why);
    *ret = c;
    return ERR_OK;
}

static err_t read_snap(struct bytes in, struct raft_snap *ret, struct bytes *data, struct err *e)
{
    struct raft_snap snap = { 0 };
    struct pb_field f;
    bool has_conf = false;
    err_t rc;
    *data = (struct bytes){ 0 };
    while ((rc = next_field(&in, SNAP_DATA + 1, 1u << SNAP_CONF | 1u << SNAP_DATA, &f, e)) ==
           ERR_OK) {
        if (f.number == SNAP_INDEX) {
            snap.index = f.value;
        } else if (f.number == SNAP_TERM) {
            snap.term = f.value;
        } else if (f.number == SNAP_DATA) {
            *data = f.bytes;
        } else if (f.number == SNAP_CONF) {
            if (has_conf) /* mergers disagree, so nobody may send it */
                return MALFORMED(e, "a snapshot with two configurations");
            if ((rc = read_conf(f.bytes, &snap.conf, e)) != ERR_OK)
                return rc;
            has_conf = true;
        }
    }
    if (rc != ERR_NOT_FOUND)
        return rc;
    if (!has_conf || snap.index == 0 || snap.index > number_max || snap.term > number_max)
        return MALFORMED(e, "a snapshot of index %llu, term %llu", (unsigned long long)snap.index,
                         (unsigned long long)snap.term);
    *ret = snap;
    return ERR_OK;
}

/* What one walk over a message finds, before anything is believed. */
struct found {
    uint64_t v[NUMBERS];
    uint64_t entries;         /* how many */
    struct bytes first, snap; /* from the first entry on; NULL: none */
};

static err_t walk(struct bytes in, struct found *found, struct err *e)
{
    struct pb_field f;
    struct bytes at = in;
    err_t rc;
    for (; (rc = next_field(&in, NUMBERS, 1u << ENTRIES | 1u << SNAPSHOT, &f, e)) == ERR_OK;
         at = in) {
        if (f.number == ENTRIES) {
            if (found->entries++ == 0)
                found->first = at;
        } else if (f.number == SNAPSHOT) {
            if (found->snap.data != NULL)
                return MALFORMED(e, "a message with two snapshots");
            found->snap = f.bytes;
        } else if (f.number < NUMBERS) {
            found->v[f.number] = f.value;
        }
    }
    found->v[TYPE] &= UINT32_MAX; /* as protobuf reads an uint32, and a bool */
    found->v[REJECT] = found->v[REJECT] != 0;
    found->v[FORCED] = found->v[FORCED] != 0;
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static err_t check_numbers(const struct found *found, struct err *e)
{
    const uint64_t *v = found->v, entries = found->entries;
    bool has_snap = found->snap.data != NULL;
    if (v[TYPE] == 0 || v[TYPE] >= TYPES)
        return MALFORMED(e, "a message of type %llu", (unsigned long long)v[TYPE]);
    if (v[REGION] == 0 || v[FROM] == RAFT_NONE || v[TO] == RAFT_NONE)
        return MALFORMED(e, "a message without its region or its peers");
    for (unsigned i = 1; i < NUMBERS; i++)
        if (i != CTX && v[i] > number_max)
            return MALFORMED(e, "field %u of a message is 2^63 or above", i);
    uint8_t type = types[v[TYPE]];
    if ((type == RAFT_MSG_SNAP) != has_snap)
        return MALFORMED(e, "a snapshot is where none belongs, or is missing");
    if (entries > 0 && !has_entries(type))
        return MALFORMED(e, "entries in a message of type %llu", (unsigned long long)v[TYPE]);
    if (entries > REGION_MESSAGE_ENTRIES_MAX || v[INDEX] + entries > number_max)
        return MALFORMED(e, "%llu entries behind index %llu", (unsigned long long)entries,
                         (unsigned long long)v[INDEX]);
    return ERR_OK;
}

static err_t read_entries(struct region_batch_reader *r, struct bytes in, struct raft_msg *m,
                          struct err *e)
{
    if (m->nents > r->cap) {
        struct raft_ent *more = realloc(r->ents, m->nents * sizeof *more);
        if (more == NULL)
            return err_set(e, ERR_NOMEM, "no memory for %u entries", m->nents);
        r->ents = more;
        r->cap = m->nents;
    }
    struct pb_field f;
    uint32_t n = 0;
    while (n < m->nents && pb_next(&in, &f)) {
        if (f.number != ENTRIES)
            continue;
        err_t rc = read_entry(f.bytes, &r->ents[n], e);
        if (rc != ERR_OK)
            return rc;
        n++;
        if (m->type == RAFT_MSG_APP)
            r->ents[n - 1].index = m->index + n;
    }
    assert(n == m->nents); /* they were counted */
    m->ents = n > 0 ? r->ents : NULL;
    return ERR_OK;
}

static err_t read_message(struct region_batch_reader *r, struct bytes in,
                          struct region_message *ret, struct err *e)
{
    struct found found = { .entries = 0 };
    const uint64_t *v = found.v;
    err_t rc = walk(in, &found, e);
    if (rc == ERR_OK)
        rc = check_numbers(&found, e);
    if (rc != ERR_OK)
        return rc;
    struct region_message m = {
        .region_id = v[REGION],
        .conf_ver = v[CONF_VER],
        .version = v[VERSION],
        .held = v[HELD],
        .raft = { .type = types[v[TYPE]],
                  .reject = v[REJECT],
                  .forced = v[FORCED],
                  .from = v[FROM],
                  .to = v[TO],
                  .term = v[TERM],
                  .log_term = v[LOG_TERM],
                  .index = v[INDEX],
                  .commit = v[COMMIT],
                  .hint = v[HINT],
                  .commit_term = v[COMMIT_TERM],
                  .ctx = v[CTX],
                  .nents = (uint32_t)found.entries },
    };
    if (found.entries > 0)
        rc = read_entries(r, found.first, &m.raft, e);
    if (rc == ERR_OK && found.snap.data != NULL) {
        rc = read_snap(found.snap, &r->snap, &m.snap_data, e);
        m.raft.snap = &r->snap;
    }
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

err_t region_batch_open(struct region_batch_reader *r, struct bytes in, struct err *e)
{
    struct bytes rest = in;
    struct pb_field f;
    uint64_t from = 0, to = 0, hlc = 0;
    while (pb_next(&rest, &f)) {
        enum pb_type want = f.number == BATCH_HLC       ? PB_FIXED64
                            : f.number == BATCH_MESSAGE ? PB_BYTES
                                                        : PB_VARINT;
        if (f.number <= BATCH_MESSAGE && f.type != want)
            return MALFORMED(e, "field %u has type %u", f.number, (unsigned)f.type);
        if (f.number == BATCH_FROM)
            from = f.value;
        else if (f.number == BATCH_TO)
            to = f.value;
        else if (f.number == BATCH_HLC)
            hlc = f.value;
    }
    if (rest.len != 0)
        return MALFORMED(e, "a field is cut off, or is none");
    if (from == 0 || to == 0 || hlc == 0)
        return MALFORMED(e, "it does not say from which store, to which, and when");
    r->from_store = from;
    r->to_store = to;
    r->hlc = hlc;
    r->rest = in;
    return ERR_OK;
}

err_t region_batch_next(struct region_batch_reader *r, struct region_message *ret, struct err *e)
{
    struct pb_field f;
    while (pb_next(&r->rest, &f))
        if (f.number == BATCH_MESSAGE)
            return read_message(r, f.bytes, ret, e);
    return ERR_NOT_FOUND; /* all of it is well-formed: region_batch_open() has walked it */
}

void region_batch_reader_free(struct region_batch_reader *r)
{
    free(r->ents);
    *r = (struct region_batch_reader){ 0 };
}
