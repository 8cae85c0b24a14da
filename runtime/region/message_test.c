/* Batches of messages: what is written is read again, protobuf-c agrees in both directions, and nothing that comes is
 * trusted. */
#include "base/pb.h"
#include "base/prng.h"
#include "base/test.h"
#include "decode/decode.h"
#include "message.h"
#include "proto/raftpb.pb-c.h"

enum { ENTS = 6, TEXT = 400, BATCH = 5, ROUNDS = 20000 }; /* BATCH * ROUNDS messages */

static const uint8_t travels[] = {
    RAFT_MSG_PROP,           RAFT_MSG_APP,       RAFT_MSG_APP_RESP,
    RAFT_MSG_VOTE,           RAFT_MSG_VOTE_RESP, RAFT_MSG_PREVOTE,
    RAFT_MSG_PREVOTE_RESP,   RAFT_MSG_SNAP,      RAFT_MSG_HEARTBEAT,
    RAFT_MSG_HEARTBEAT_RESP, RAFT_MSG_TRANSFER,  RAFT_MSG_TIMEOUT_NOW,
    RAFT_MSG_READ,           RAFT_MSG_READ_RESP, RAFT_MSG_SLEEP
};
enum { TYPES = sizeof travels };

/* ---- Messages by chance ------------------------------------------------------------------------------------- */

struct drawn {
    struct region_message m;
    struct raft_ent ents[ENTS];
    struct raft_snap snap;
    uint8_t text[TEXT];
};

static uint64_t number(struct prng *p)
{
    return prng_chance(p, 1, 4) ? 0 : prng_u64(p) >> (1 + prng_below(p, 63));
}

static uint64_t id(struct prng *p)
{
    uint64_t n = number(p);
    return n == 0 ? 1 : n;
}

static void draw_conf(struct prng *p, struct raft_conf *c)
{
    bool joint = prng_chance(p, 1, 2);
    *c = (struct raft_conf){ .n = (uint8_t)(1 + prng_below(p, RAFT_MAX_PEERS)) };
    for (unsigned i = 0; i < c->n; i++) {
        uint16_t bit = (uint16_t)(1u << i);
        unsigned what = i == 0 ? 0 : (unsigned)prng_below(p, joint ? 5 : 2);
        c->id[i] = (i == 0 ? 0 : c->id[i - 1]) + 1 + (prng_u64(p) >> (6 + prng_below(p, 58)));
        c->voters |= what == 0 || what == 2 ? bit : 0;
        c->learners |= what == 1 ? bit : 0;
        c->outgoing |= what >= 2 ? bit : 0;
        c->learners_next |= what == 4 ? bit : 0;
    }
    c->auto_leave = c->outgoing != 0 && prng_chance(p, 1, 2);
    CHECK(raft_conf_broken(c) == NULL);
}

static void draw_entries(struct prng *p, struct drawn *d)
{
    struct raft_msg *r = &d->m.raft;
    r->nents = (uint32_t)prng_below(p, ENTS + 1);
    r->ents = r->nents > 0 ? d->ents : NULL;
    if (r->index > 1)
        r->index -= 1 + prng_below(p, r->index < ENTS ? r->index : ENTS);
    for (uint32_t i = 0; i < r->nents; i++) {
        size_t at = prng_below(p, TEXT / 2);
        d->ents[i] = (struct raft_ent){ .term = number(p),
                                        .index = r->type == RAFT_MSG_APP ? r->index + 1 + i : 0,
                                        .type = (uint8_t)prng_below(p, 2),
                                        .data = d->text + at,
                                        .len = (uint32_t)prng_below(p, TEXT / 2) };
        if (prng_chance(p, 1, 3))
            d->ents[i].len = 0;
    }
}

static void draw_message(struct prng *p, uint8_t type, struct drawn *d)
{
    prng_fill(p, d->text, sizeof d->text);
    d->m = (struct region_message){
        .region_id = id(p),
        .conf_ver = number(p),
        .version = number(p),
        .held = number(p),
        .raft = { .type = type,
                  .reject = prng_chance(p, 1, 2),
                  .forced = prng_chance(p, 1, 4),
                  .from = id(p),
                  .to = id(p),
                  .term = number(p),
                  .log_term = number(p),
                  .index = number(p),
                  .commit = number(p),
                  .hint = number(p),
                  .commit_term = number(p),
                  .ctx = prng_chance(p, 1, 4) ? prng_u64(p) : number(p) },
    };
    if (type == RAFT_MSG_APP || type == RAFT_MSG_PROP)
        draw_entries(p, d);
    if (type == RAFT_MSG_SNAP) {
        d->snap.index = id(p);
        d->snap.term = number(p);
        draw_conf(p, &d->snap.conf);
        d->m.raft.snap = &d->snap;
        d->m.snap_data = bytes_from(d->text, prng_below(p, TEXT));
    }
}

static void check_entries(const struct raft_msg *a, const struct raft_msg *b)
{
    CHECK_EQ(a->nents, b->nents);
    for (uint32_t i = 0; i < a->nents; i++) {
        const struct raft_ent *x = &a->ents[i], *y = &b->ents[i];
        CHECK(x->term == y->term && x->index == y->index && x->type == y->type);
        CHECK_BYTES(bytes_from(x->data, x->len), bytes_from(y->data, y->len));
    }
}

static void check_snap(const struct raft_snap *a, const struct raft_snap *b)
{
    const struct raft_conf *x = &a->conf, *y = &b->conf;
    CHECK(a->index == b->index && a->term == b->term);
    CHECK(x->n == y->n && x->auto_leave == y->auto_leave && x->voters == y->voters);
    CHECK(x->outgoing == y->outgoing && x->learners == y->learners);
    CHECK(x->learners_next == y->learners_next);
    CHECK_EQ(memcmp(x->id, y->id, x->n * sizeof *x->id), 0);
}

static void check_same(const struct region_message *a, const struct region_message *b)
{
    const struct raft_msg *x = &a->raft, *y = &b->raft;
    CHECK(a->region_id == b->region_id && a->conf_ver == b->conf_ver && a->version == b->version);
    CHECK(a->held == b->held);
    CHECK(x->type == y->type && x->reject == y->reject && x->forced == y->forced);
    CHECK(x->from == y->from && x->to == y->to && x->term == y->term);
    CHECK(x->log_term == y->log_term && x->index == y->index && x->commit == y->commit);
    CHECK(x->hint == y->hint && x->commit_term == y->commit_term && x->ctx == y->ctx);
    CHECK((x->snap == NULL) == (y->snap == NULL));
    CHECK_BYTES(a->snap_data, b->snap_data);
    check_entries(x, y);
    if (x->snap != NULL)
        check_snap(x->snap, y->snap);
}

static void begin(struct buf *out)
{
    buf_clear(out);
    CHECK_EQ(region_batch_begin(out, 7, 300, 0x0123456789abcdef), ERR_OK);
}

/* A copy of exactly its size, for the address sanitizer. The caller frees it. */
static uint8_t *exact(struct bytes in)
{
    uint8_t *copy = malloc(in.len == 0 ? 1 : in.len);
    if (in.len > 0)
        memcpy(copy, in.data, in.len);
    return copy;
}

TEST(batch_every_message_comes_as_it_was)
{
    static struct drawn d[BATCH];
    struct prng p;
    struct buf out = { 0 };
    struct region_batch_reader r = { 0 };
    struct region_message m;
    struct err e = { 0 };
    prng_seed(&p, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(&out);
        for (unsigned i = 0; i < BATCH; i++) {
            draw_message(&p, travels[(round + i) % TYPES], &d[i]);
            CHECK_EQ(region_batch_add(&out, &d[i].m), ERR_OK);
        }
        uint8_t *copy = exact(buf_bytes(&out));
        CHECK_OK(region_batch_open(&r, bytes_from(copy, out.len), &e), e);
        CHECK(r.from_store == 7 && r.to_store == 300 && r.hlc == 0x0123456789abcdef);
        for (unsigned i = 0; i < BATCH; i++) {
            CHECK_OK(region_batch_next(&r, &m, &e), e);
            check_same(&m, &d[i].m);
        }
        CHECK_EQ(region_batch_next(&r, &m, &e), ERR_NOT_FOUND);
        free(copy);
    }
    region_batch_reader_free(&r);
    buf_free(&out);
}

/* ---- protobuf-c --------------------------------------------------------------------------------------------- */

static struct bytes view(ProtobufCBinaryData data)
{
    return bytes_from(data.data, data.len);
}

/* What protobuf-c has read must be, said once more by other words than message.c's. */
static bool conf_sane(const Flotilla__Raft__RaftConf *c)
{
    bool votes = false, joint = false, later = false;
    for (size_t i = 0; i < c->n_members; i++) {
        uint32_t sets = c->members[i]->sets;
        uint64_t before = i == 0 ? 0 : c->members[i - 1]->id;
        if (c->members[i]->id <= before || c->members[i]->id >> 63 != 0)
            return false;
        /* voter, outgoing, both, learner, outgoing and then a learner: no other mixture */
        if (sets != 1 && sets != 2 && sets != 3 && sets != 4 && sets != 10)
            return false;
        votes |= (sets & 1) != 0;
        joint |= (sets & 2) != 0;
        later |= (sets & 8) != 0;
    }
    return c->n_members <= 16 && votes && (joint || (!later && !c->auto_leave));
}

static bool message_sane(const Flotilla__Raft__RaftMessage *p)
{
    const uint64_t numbers[] = { p->region_id, p->from_peer, p->to_peer,     p->conf_ver,
                                 p->version,   p->term,      p->log_term,    p->index,
                                 p->commit,    p->hint,      p->commit_term, p->held };
    const Flotilla__Raft__RaftSnapshot *s = p->snapshot;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] > INT64_MAX)
            return false;
    if (p->region_id == 0 || p->from_peer == 0 || p->to_peer == 0 || p->type < 1 || p->type > TYPES)
        return false;
    if (p->n_entries > 0 && (p->type > 2 || p->index > INT64_MAX - p->n_entries))
        return false;
    for (size_t i = 0; i < p->n_entries; i++)
        if (p->entries[i]->type > 1 || p->entries[i]->term > INT64_MAX)
            return false;
    return (s != NULL) == (p->type == 8) &&
           (s == NULL || (s->index > 0 && s->index <= INT64_MAX && s->term <= INT64_MAX &&
                          s->conf != NULL && conf_sane(s->conf)));
}

static void check_conf(const struct raft_conf *c, const Flotilla__Raft__RaftConf *p)
{
    CHECK(c->n == p->n_members && c->auto_leave == (p->auto_leave != 0));
    for (unsigned i = 0; i < c->n; i++) {
        CHECK(c->id[i] == p->members[i]->id);
        unsigned sets = (c->voters >> i & 1u) | (c->outgoing >> i & 1u) << 1 |
                        (c->learners >> i & 1u) << 2 | (c->learners_next >> i & 1u) << 3;
        CHECK_EQ(sets, p->members[i]->sets);
    }
}

static void check_theirs(const struct region_message *m, const Flotilla__Raft__RaftMessage *p)
{
    const struct raft_msg *r = &m->raft;
    CHECK(m->region_id == p->region_id && m->conf_ver == p->conf_ver && m->version == p->version);
    CHECK(m->held == p->held);
    CHECK(r->type == travels[p->type - 1] && r->from == p->from_peer && r->to == p->to_peer);
    CHECK(r->term == p->term && r->log_term == p->log_term && r->index == p->index);
    CHECK(r->commit == p->commit && r->hint == p->hint && r->commit_term == p->commit_term);
    CHECK(r->ctx == p->ctx && r->reject == (p->reject != 0) && r->forced == (p->forced != 0));
    CHECK_EQ(r->nents, p->n_entries);
    for (uint32_t i = 0; i < r->nents; i++) {
        CHECK(r->ents[i].term == p->entries[i]->term && r->ents[i].type == p->entries[i]->type);
        CHECK_EQ(r->ents[i].index, r->type == RAFT_MSG_APP ? p->index + 1 + i : 0);
        CHECK_BYTES(bytes_from(r->ents[i].data, r->ents[i].len), view(p->entries[i]->data));
    }
    CHECK((r->snap != NULL) == (p->snapshot != NULL));
    if (r->snap != NULL) {
        CHECK(r->snap->index == p->snapshot->index && r->snap->term == p->snapshot->term);
        CHECK_BYTES(m->snap_data, view(p->snapshot->data));
        check_conf(&r->snap->conf, p->snapshot->conf);
    }
}

/* One input, both readers: every message up to the first that is refused. Answers how many were read. */
static unsigned agree(struct bytes in)
{
    struct region_batch_reader r = { 0 };
    struct region_message m;
    struct err e = { 0 };
    uint8_t *copy = exact(in);
    Flotilla__Raft__RaftBatch *p = NULL;
    if (decode_check(&flotilla__raft__raft_batch__descriptor, in, DECODE_LIMITS, NULL) == ERR_OK) {
        p = flotilla__raft__raft_batch__unpack(NULL, in.len, in.data);
        CHECK(p != NULL);
    }
    err_t rc = region_batch_open(&r, bytes_from(copy, in.len), &e);
    unsigned n = 0;
    if (p != NULL)
        CHECK((rc == ERR_OK) == (p->from_store != 0 && p->to_store != 0 && p->hlc != 0));
    while (rc == ERR_OK && (rc = region_batch_next(&r, &m, &e)) == ERR_OK) {
        if (p != NULL) {
            CHECK(n < p->n_messages && message_sane(p->messages[n]));
            check_theirs(&m, p->messages[n]);
        }
        n++;
    }
    if (p == NULL)
        CHECK_EQ(rc, ERR_CORRUPTION);
    else if (rc == ERR_NOT_FOUND)
        CHECK_EQ(n, p->n_messages);
    else if (n < p->n_messages && p->from_store != 0 && p->to_store != 0 && p->hlc != 0)
        CHECK(!message_sane(p->messages[n]));
    if (rc == ERR_CORRUPTION)
        CHECK_CONTAINS(e.msg, "malformed batch");
    if (p != NULL)
        flotilla__raft__raft_batch__free_unpacked(p, NULL);
    region_batch_reader_free(&r);
    free(copy);
    return n;
}

TEST(batch_protobuf_c_reads_what_we_write_and_would_have_written_it)
{
    static struct drawn d;
    struct prng p;
    struct buf out = { 0 }, theirs = { 0 };
    prng_seed(&p, 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(&out);
        for (unsigned i = 0; i < 3; i++) {
            draw_message(&p, travels[(round + i) % TYPES], &d);
            CHECK_EQ(region_batch_add(&out, &d.m), ERR_OK);
        }
        CHECK_EQ(agree(buf_bytes(&out)), 3);
        Flotilla__Raft__RaftBatch *m = flotilla__raft__raft_batch__unpack(NULL, out.len, out.data);
        CHECK(m != NULL);
        buf_clear(&theirs);
        CHECK(buf_reserve(&theirs, flotilla__raft__raft_batch__get_packed_size(m)) != NULL);
        theirs.len = flotilla__raft__raft_batch__pack(m, theirs.data);
        CHECK_BYTES(buf_bytes(&out), buf_bytes(&theirs));
        flotilla__raft__raft_batch__free_unpacked(m, NULL);
    }
    buf_free(&theirs);
    buf_free(&out);
}

/* Cut anywhere: whole messages before the cut, or a refusal. The same inside of one message with right lengths. */
TEST(batch_every_truncation)
{
    static struct drawn d;
    struct prng p;
    struct buf out = { 0 }, cut = { 0 };
    prng_seed(&p, 3);
    for (unsigned round = 0; round < 3 * TYPES; round++) {
        begin(&out);
        size_t head = out.len;
        draw_message(&p, travels[round % TYPES], &d);
        CHECK_EQ(region_batch_add(&out, &d.m), ERR_OK);
        for (size_t n = 0; n < out.len; n++)
            CHECK_EQ(agree(bytes_from(out.data, n)), 0);
        struct bytes rest = bytes_from(out.data + head, out.len - head);
        struct pb_field f;
        CHECK(pb_next(&rest, &f));
        for (size_t n = 0; n < f.bytes.len; n++) {
            begin(&cut);
            pb_append_item(&cut, 4, bytes_from(f.bytes.data, n));
            agree(buf_bytes(&cut));
        }
    }
    buf_free(&cut);
    buf_free(&out);
}

/* Fields of the message's own numbers, mostly of the right type, in any order and number. */
static void draw_fields(struct prng *p, const ProtobufCMessageDescriptor *type, struct buf *b)
{
    for (uint64_t n = prng_below(p, 9); n > 0; n--) {
        const ProtobufCFieldDescriptor *f = &type->fields[prng_below(p, type->n_fields)];
        uint32_t number = prng_chance(p, 1, 20) ? 1 + (uint32_t)prng_below(p, 300) : f->id;
        uint64_t value =
            prng_chance(p, 1, 12) ? prng_u64(p) >> prng_below(p, 64) : 1 + prng_below(p, 3);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            struct buf inner = { 0 };
            draw_fields(p, f->descriptor, &inner);
            pb_append_item(b, number, buf_bytes(&inner));
            buf_free(&inner);
        } else if (f->type == PROTOBUF_C_TYPE_BYTES || prng_chance(p, 1, 200)) {
            pb_append_item(b, number, bytes_from("some text", value % 10));
        } else if (f->type == PROTOBUF_C_TYPE_FIXED64) {
            pb_append_fixed64(b, number, value);
        } else {
            pb_append_u64(b, number, value);
        }
    }
}

/* As the above, with what every message must have, so that most are read. */
static void draw_batch(struct prng *p, struct buf *out)
{
    struct buf m = { 0 };
    begin(out);
    for (uint64_t n = prng_below(p, 4); n > 0; n--) {
        buf_clear(&m);
        for (uint32_t i = 1; i <= 3 && !prng_chance(p, 1, 50); i++)
            pb_append_u64(&m, i, 1 + prng_below(p, 1000));
        draw_fields(p, &flotilla__raft__raft_message__descriptor, &m);
        pb_append_u64(&m, 6, prng_chance(p, 1, 2) ? 8 : 1 + prng_below(p, TYPES + 1));
        pb_append_item(out, 4, buf_bytes(&m));
    }
    draw_fields(p, &flotilla__raft__raft_batch__descriptor, out);
    buf_free(&m);
}

TEST(batch_agrees_with_protobuf_c_on_drawn_and_damaged_bytes)
{
    struct prng p;
    struct buf out = { 0 };
    unsigned read = 0;
    prng_seed(&p, 4);
    for (unsigned round = 0; round < 40000; round++) {
        draw_batch(&p, &out);
        if (round % 2 == 0) {
            out.data[prng_below(&p, out.len)] = (uint8_t)prng_u64(&p);
            if (prng_chance(&p, 1, 4))
                out.len = prng_below(&p, out.len);
        }
        read += agree(buf_bytes(&out));
    }
    CHECK(read > 5000);
    buf_free(&out);
}

TEST(batch_agrees_with_protobuf_c_on_damaged_messages)
{
    static struct drawn d;
    struct prng p;
    struct buf out = { 0 };
    unsigned read = 0;
    prng_seed(&p, 5);
    for (unsigned round = 0; round < 40000; round++) {
        begin(&out);
        for (unsigned i = 0; i < 2; i++) {
            draw_message(&p, travels[(round + i) % TYPES], &d);
            CHECK_EQ(region_batch_add(&out, &d.m), ERR_OK);
        }
        for (uint64_t n = prng_below(&p, 3); n > 0; n--)
            out.data[prng_below(&p, out.len)] ^= (uint8_t)(1u << prng_below(&p, 8));
        read += agree(buf_bytes(&out));
    }
    CHECK(read > 20000 && read < 80000);
    buf_free(&out);
}

/* ---- Limits and lies ---------------------------------------------------------------------------------------- */

/* A batch of one message in hex behind the four that it must have: region, peers, and `type` if not 0. */
static err_t read_hex(unsigned type, const char *hex)
{
    struct region_batch_reader r = { 0 };
    struct region_message m;
    struct buf out = { 0 }, body = { 0 }, more = test_hex(hex);
    for (uint32_t i = 1; i <= 3; i++)
        pb_append_u64(&body, i, i);
    pb_append_u64(&body, 6, type);
    CHECK_EQ(buf_append(&body, buf_bytes(&more)), ERR_OK);
    begin(&out);
    pb_append_item(&out, 4, buf_bytes(&body));
    agree(buf_bytes(&out));
    CHECK_EQ(region_batch_open(&r, buf_bytes(&out), NULL), ERR_OK);
    err_t rc = region_batch_next(&r, &m, NULL);
    region_batch_reader_free(&r);
    buf_free(&more);
    buf_free(&body);
    buf_free(&out);
    return rc;
}

/* Hex of a snapshot, field 15, with index 5, term 2 and members, each of four bytes: 08 id 10 sets. */
#define SNAP_OF(length, conf_length, members)                                                      \
    "7a" length "08051002"                                                                         \
    "1a" conf_length members

TEST(batch_what_nobody_may_send)
{
    static const struct {
        unsigned type;
        const char *hex;
        err_t rc;
    } rows[] = {
        { 9, "", ERR_OK },
        { 0, "", ERR_CORRUPTION },                         /* no type */
        { 16, "", ERR_CORRUPTION },                        /* a type that nobody knows */
        { 9, "0800", ERR_CORRUPTION },                     /* region 0 */
        { 9, "1000", ERR_CORRUPTION },                     /* from nobody */
        { 9, "1800", ERR_CORRUPTION },                     /* to nobody */
        { 9, "10ffffffffffffffffff01", ERR_CORRUPTION },   /* from a storage thread */
        { 9, "18feffffffffffffffff01", ERR_CORRUPTION },   /* to the other */
        { 9, "38ffffffffffffffff7f", ERR_OK },             /* term 2^63 - 1 */
        { 9, "3880808080808080808001", ERR_CORRUPTION },   /* 2^63 */
        { 9, "4080808080808080808001", ERR_CORRUPTION },   /* log_term */
        { 9, "5080808080808080808001", ERR_CORRUPTION },   /* commit */
        { 9, "800180808080808080808001", ERR_CORRUPTION }, /* commit_term */
        { 9, "900180808080808080808001", ERR_CORRUPTION }, /* held */
        { 9, "68ffffffffffffffffff01", ERR_OK },           /* ctx is any number */
        { 9, "60ffffffffffffffffff01", ERR_OK },           /* a bool is true by any bit */
        { 9, "3000", ERR_CORRUPTION },                     /* the type again: 0 */
        { 9, "30898080808080808001", ERR_OK },             /* its low 32 bits count */
        { 9, "a20600", ERR_OK },                           /* field 100: passed over */
        { 9, "3a00", ERR_CORRUPTION },                     /* a term of bytes */
        { 9, "7000", ERR_CORRUPTION },                     /* entries that are a number */
        { 9, "7200", ERR_CORRUPTION },                     /* an entry in a heartbeat */
        { 3, "7200", ERR_CORRUPTION },                     /* and in an answer */
        { 2, "7200", ERR_OK },
        { 1, "7200", ERR_OK },
        { 2, "72021001", ERR_OK },                           /* a change of configuration */
        { 2, "72021002", ERR_CORRUPTION },                   /* a type of entry that nobody knows */
        { 2, "720b0880808080808080808001", ERR_CORRUPTION }, /* term 2^63 of an entry */
        { 2, "48feffffffffffffff7f7200", ERR_OK },           /* the last index is 2^63 - 1 */
        { 2, "48ffffffffffffffff7f7200", ERR_CORRUPTION },   /* 2^63 */
        { 2, "48feffffffffffffff7f72007200", ERR_CORRUPTION },
        { 8, "", ERR_CORRUPTION },                                  /* no snapshot */
        { 8, SNAP_OF("0a", "04", "0a0208011001"), ERR_CORRUPTION }, /* lengths that disagree */
        { 8, SNAP_OF("0c", "06", "0a0408011001"), ERR_OK },
        { 9, SNAP_OF("0c", "06", "0a0408011001"), ERR_CORRUPTION }, /* in a heartbeat */
        { 8, SNAP_OF("0c", "06", "0a0408011001") SNAP_OF("0c", "06", "0a0408011001"),
          ERR_CORRUPTION },                                         /* twice */
        { 8, SNAP_OF("06", "00", ""), ERR_CORRUPTION },             /* nobody votes */
        { 8, SNAP_OF("0c", "06", "0a0408011004"), ERR_CORRUPTION }, /* a learner alone */
        { 8, SNAP_OF("0c", "06", "0a0408011005"), ERR_CORRUPTION }, /* a learner who votes */
        { 8, SNAP_OF("0c", "06", "0a0408011009"), ERR_CORRUPTION }, /* later, without leaving */
        { 8, SNAP_OF("0c", "06", "0a0408011000"), ERR_CORRUPTION }, /* in no set */
        { 8, SNAP_OF("0c", "06", "0a0408011011"), ERR_CORRUPTION }, /* in a set of later versions */
        { 8, SNAP_OF("0c", "06", "0a0408001001"), ERR_CORRUPTION }, /* member 0 */
        { 8,
          SNAP_OF("12", "0c",
                  "0a0408011001"
                  "0a0408021002"),
          ERR_OK }, /* joint */
        { 8,
          SNAP_OF("14", "0e",
                  "0a0408011001"
                  "0a0408021002"
                  "1001"),
          ERR_OK }, /* auto leave */
        { 8,
          SNAP_OF("14", "0e",
                  "0a0408011001"
                  "0a0408021004"
                  "1001"),
          ERR_CORRUPTION },
        { 8,
          SNAP_OF("12", "0c",
                  "0a0408011001"
                  "0a040802100a"),
          ERR_OK },
        { 8,
          SNAP_OF("12", "0c",
                  "0a0408021001"
                  "0a0408011001"),
          ERR_CORRUPTION }, /* not ascending */
        { 8,
          SNAP_OF("12", "0c",
                  "0a0408021001"
                  "0a0408021001"),
          ERR_CORRUPTION },                                /* twice */
        { 8, "7a0810021a040a0208011001", ERR_CORRUPTION }, /* no index, and lengths that disagree */
        { 8, "7a0a10021a060a0408011001", ERR_CORRUPTION }, /* index 0 */
        { 8, "7a0408051002", ERR_CORRUPTION },             /* no configuration */
        { 8,
          "7a1408051002"
          "1a060a0408011001"
          "1a060a0408011001",
          ERR_CORRUPTION }, /* two */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (read_hex(rows[i].type, rows[i].hex) != rows[i].rc)
            fail_msg("row %zu, type %u, %s: not %s", i, rows[i].type, rows[i].hex,
                     err_name(rows[i].rc));
    }
}

TEST(batch_seventeen_members_are_too_many)
{
    for (unsigned n = 15; n <= 18; n++) {
        struct buf conf = { 0 }, snap = { 0 }, hex = { 0 }, m = { 0 };
        for (unsigned i = 1; i <= n; i++) {
            struct buf member = { 0 };
            pb_append_u64(&member, 1, i);
            pb_append_u64(&member, 2, 1);
            pb_append_item(&conf, 1, buf_bytes(&member));
            buf_free(&member);
        }
        pb_append_u64(&snap, 1, 5);
        pb_append_item(&snap, 3, buf_bytes(&conf));
        pb_append_item(&m, 15, buf_bytes(&snap));
        for (size_t i = 0; i < m.len; i++)
            CHECK_EQ(buf_printf(&hex, "%02x", m.data[i]), ERR_OK);
        CHECK_EQ(buf_append(&hex, bytes_from("", 1)), ERR_OK);
        CHECK_EQ(read_hex(8, (const char *)hex.data), n <= 16 ? ERR_OK : ERR_CORRUPTION);
        buf_free(&conf), buf_free(&snap), buf_free(&hex), buf_free(&m);
    }
}

TEST(batch_heads_that_say_nothing)
{
    static const struct {
        const char *hex;
        err_t rc;
    } rows[] = {
        { "08011002190100000000000000", ERR_OK },
        { "19010000000000000010020801", ERR_OK }, /* in any order */
        { "1002190100000000000000", ERR_CORRUPTION },
        { "0801190100000000000000", ERR_CORRUPTION },
        { "08011002", ERR_CORRUPTION },
        { "080110021801", ERR_CORRUPTION },                   /* a stamp of another type */
        { "080110021901000000000000", ERR_CORRUPTION },       /* cut off */
        { "080110021901000000000000002001", ERR_CORRUPTION }, /* messages that are a number */
        { "08011002190100000000000000220508", ERR_CORRUPTION },
        { "", ERR_CORRUPTION },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct region_batch_reader r = { .from_store = 77 };
        struct buf in = test_hex(rows[i].hex);
        CHECK_EQ(region_batch_open(&r, buf_bytes(&in), NULL), rows[i].rc);
        CHECK((rows[i].rc == ERR_OK) == (r.from_store == 1));
        agree(buf_bytes(&in));
        buf_free(&in);
    }
}

/* Counted before room is made for them. */
TEST(batch_entries_have_a_limit_before_memory)
{
    for (uint32_t n = REGION_MESSAGE_ENTRIES_MAX; n <= REGION_MESSAGE_ENTRIES_MAX + 1; n++) {
        struct region_batch_reader r = { 0 };
        struct region_message m;
        struct buf body = { 0 }, out = { 0 };
        for (uint32_t i = 1; i <= 3; i++)
            pb_append_u64(&body, i, i);
        pb_append_u64(&body, 6, 2);
        for (uint32_t i = 0; i < n; i++)
            pb_append_item(&body, 14, (struct bytes){ 0 });
        begin(&out);
        pb_append_item(&out, 4, buf_bytes(&body));
        CHECK_EQ(region_batch_open(&r, buf_bytes(&out), NULL), ERR_OK);
        bool fits = n <= REGION_MESSAGE_ENTRIES_MAX;
        CHECK_EQ(region_batch_next(&r, &m, NULL), fits ? ERR_OK : ERR_CORRUPTION);
        CHECK_EQ(r.cap, fits ? n : 0);
        region_batch_reader_free(&r);
        buf_free(&body);
        buf_free(&out);
    }
}

TEST(batch_an_entry_has_a_limit)
{
    uint8_t *much = calloc(1, REGION_ENTRY_MAX + 1);
    for (size_t len = REGION_ENTRY_MAX; len <= REGION_ENTRY_MAX + 1; len++) {
        struct region_batch_reader r = { 0 };
        struct region_message m;
        struct buf entry = { 0 }, body = { 0 }, out = { 0 };
        pb_append_bytes(&entry, 3, bytes_from(much, len));
        for (uint32_t i = 1; i <= 3; i++)
            pb_append_u64(&body, i, i);
        pb_append_u64(&body, 6, 2);
        pb_append_item(&body, 14, buf_bytes(&entry));
        begin(&out);
        pb_append_item(&out, 4, buf_bytes(&body));
        CHECK_EQ(region_batch_open(&r, buf_bytes(&out), NULL), ERR_OK);
        CHECK_EQ(region_batch_next(&r, &m, NULL),
                 len <= REGION_ENTRY_MAX ? ERR_OK : ERR_CORRUPTION);
        region_batch_reader_free(&r);
        buf_free(&entry), buf_free(&body), buf_free(&out);
    }
    free(much);
}

TEST(batch_full_leaves_it_as_it_was)
{
    uint8_t *much = calloc(1, REGION_ENTRY_MAX);
    struct raft_ent ents[3];
    for (uint32_t i = 0; i < 3; i++)
        ents[i] = (struct raft_ent){ .index = 1 + i, .term = 1, .len = 1 << 20, .data = much };
    struct region_message m = {
        .region_id = 1,
        .raft = { .type = RAFT_MSG_APP, .from = 1, .to = 2, .term = 1, .nents = 3, .ents = ents }
    };
    struct buf out = { 0 };
    unsigned n = 0;
    begin(&out);
    while (region_batch_add(&out, &m) == ERR_OK)
        n++;
    CHECK_EQ(n, 5); /* 3 MiB each */
    CHECK(out.len <= REGION_BATCH_MAX);
    size_t before = out.len;
    CHECK_EQ(region_batch_add(&out, &m), ERR_TOO_LARGE);
    CHECK_EQ(out.len, before);
    m.raft.nents = 0;
    CHECK_EQ(region_batch_add(&out, &m), ERR_OK); /* a small one still fits */
    CHECK_EQ(agree(buf_bytes(&out)), 6);
    buf_free(&out);
    free(much);
}

/* The bytes of one append by hand, so that field numbers are seen and not only agreed upon. */
TEST(batch_golden_bytes_of_an_append)
{
    struct raft_ent ent = { .term = 5, .index = 9, .type = RAFT_ENT_CONF, .data = "xy", .len = 2 };
    struct region_message m = { .region_id = 1,
                                .conf_ver = 4,
                                .version = 5,
                                .raft = { .type = RAFT_MSG_APP,
                                          .from = 2,
                                          .to = 3,
                                          .term = 5,
                                          .log_term = 4,
                                          .index = 8,
                                          .commit = 7,
                                          .nents = 1,
                                          .ents = &ent } };
    struct buf out = { 0 }, want = test_hex("0807"
                                            "10ac02"
                                            "19efcdab8967452301"
                                            "221e"
                                            "0801"
                                            "1002"
                                            "1803"
                                            "2004"
                                            "2805"
                                            "3002"
                                            "3805"
                                            "4004"
                                            "4808"
                                            "5007"
                                            "7208"
                                            "0805"
                                            "1001"
                                            "1a027879");
    begin(&out);
    CHECK_EQ(region_batch_add(&out, &m), ERR_OK);
    CHECK_BYTES(buf_bytes(&out), buf_bytes(&want));
    buf_free(&want);
    buf_free(&out);
}

TEST_MAIN()
