/* The client against a toy cluster: three servers that share regions, and refuse what real ones refuse.
 *
 *   regions split, merge, change peers and leaders while the client works; what it gets must be what a plain map says,
 *   and no request that says "this region, this epoch" may hold a key of another (that is counted as a breach).
 *
 * Whoever does not lead points to the leader, or says nothing; whoever is asked without a context forwards, or points.
 * All of the toy is behind one lock. */
#include <stdlib.h>

#include "fake_server.inc"

#include "base/prng.h"
#include "client_int.h"
#include "proto/kvrpc.pb-c.h"
#include "proto/pdpb.pb-c.h"

enum { SERVERS = 3, REGIONS_MAX = 64, ROWS_MAX = 4096, KEYS = 60 };

/* ---- The toy ------------------------------------------------------------------------------------------------ */

struct row {
    char key[16]; /* "<namespace>:<key>", which sorts as the encoding does */
    char value[16];
    uint64_t version; /* 0: a raw key */
};
struct region {
    uint64_t id, conf_ver, version;
    char start[16], end[16]; /* "" and "~": no border */
    unsigned leader;
};
struct toy {
    pthread_mutex_t lock;
    struct fake s[SERVERS];
    struct region regions[REGIONS_MAX];
    size_t count;
    struct row rows[ROWS_MAX];
    size_t row_count;
    uint64_t next_id, next_version;
    struct prng chance;
    bool forwards, forgetful; /* forgetful: answers of refusals say nothing */
    bool dumb;                /* GetRegion fails */
    uint64_t full[2];         /* regions whose disk is full */
    unsigned asked, not_leader, epoch, breaches, forwarded, parts;
};

static void text_of(char out[16], uint32_t ns, ProtobufCBinaryData key)
{
    snprintf(out, 16, "%u:%.*s", (unsigned)ns, (int)key.len, (const char *)key.data);
}

static struct region *region_of(struct toy *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->regions[i].start, key) <= 0 && strcmp(key, t->regions[i].end) < 0)
            return &t->regions[i];
    abort();
}

static struct row *row_of(struct toy *t, const char *key, bool make)
{
    for (size_t i = 0; i < t->row_count; i++)
        if (strcmp(t->rows[i].key, key) == 0)
            return &t->rows[i];
    if (!make)
        return NULL;
    if (t->row_count == ROWS_MAX)
        abort();
    struct row *r = &t->rows[t->row_count++];
    memset(r, 0, sizeof *r);
    snprintf(r->key, sizeof r->key, "%s", key);
    return r;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->key, ((const struct row *)b)->key);
}

/* "1:k07" as a region's border. */
static ProtobufCBinaryData encoded(uint8_t out[24], const char *text)
{
    if (text[0] == '\0')
        return (ProtobufCBinaryData){ 0, out };
    store_u32_be(out, (uint32_t)(text[0] - '0'));
    size_t len = strlen(text + 2);
    memcpy(out + 4, text + 2, len);
    return (ProtobufCBinaryData){ 4 + len, out };
}

struct wire_region {
    Flotilla__Kv__Region m;
    Flotilla__Kv__Epoch epoch;
    uint8_t start[24], end[24];
};

static void to_wire(struct wire_region *w, const struct region *r)
{
    flotilla__kv__region__init(&w->m);
    flotilla__kv__epoch__init(&w->epoch);
    w->m.id = r->id;
    w->m.epoch = &w->epoch;
    w->epoch.conf_ver = r->conf_ver;
    w->epoch.version = r->version;
    w->m.start_key = encoded(w->start, r->start);
    if (r->end[0] == '~') {
        w->m.end_case = FLOTILLA__KV__REGION__END_UNBOUNDED;
        w->m.unbounded = true;
    } else {
        w->m.end_case = FLOTILLA__KV__REGION__END_END_KEY;
        w->m.end_key = encoded(w->end, r->end);
    }
}

/* ---- Refusals ----------------------------------------------------------------------------------------------- */

struct asked {
    struct toy *t;
    struct fake *s;
    unsigned self;
    const struct net_frame *f;
    const Flotilla__Kv__Context *context;
};

static void answer_message(struct asked *a, const ProtobufCMessage *m)
{
    struct buf packed = { 0 };
    uint8_t *to = buf_reserve(&packed, protobuf_c_message_get_packed_size(m) + 1);
    packed.len = protobuf_c_message_pack(m, to);
    fake_answer(a->s, a->f, buf_bytes(&packed));
    buf_free(&packed);
}

/* EPOCH_NOT_MATCH with the regions of these keys. */
static void answer_epoch(struct asked *a, char (*keys)[16], size_t n)
{
    struct wire_region w[REGIONS_MAX];
    Flotilla__Kv__Region *list[REGIONS_MAX];
    Flotilla__Kv__EpochNotMatch detail = FLOTILLA__KV__EPOCH_NOT_MATCH__INIT;
    Flotilla__Kv__Status status = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__RawPutResponse m = FLOTILLA__KV__RAW_PUT_RESPONSE__INIT;
    bool seen[REGIONS_MAX] = { false };
    for (size_t i = 0; i < n && !a->t->forgetful; i++) {
        const struct region *r = region_of(a->t, keys[i]);
        if (seen[r - a->t->regions])
            continue;
        seen[r - a->t->regions] = true;
        to_wire(&w[detail.n_current], r);
        list[detail.n_current] = &w[detail.n_current].m;
        detail.n_current++;
    }
    detail.current = list;
    status.code = ERR_EPOCH_NOT_MATCH;
    status.detail_case = FLOTILLA__KV__STATUS__DETAIL_EPOCH_NOT_MATCH;
    status.epoch_not_match = &detail;
    m.status = &status;
    a->t->epoch++;
    answer_message(a, &m.base);
}

/* True: this server may do it now. `scan_end` NULL: these are all its keys; else it is a range from the first on. */
static bool admitted(struct asked *a, char (*keys)[16], size_t n, const char *scan_end)
{
    struct toy *t = a->t;
    const struct region *r = region_of(t, keys[0]);
    bool named = a->context != NULL && a->context->region_id != 0, inside = true;
    for (size_t i = 0; i < n; i++)
        inside = inside && region_of(t, keys[i]) == r;
    if (scan_end != NULL && named && strcmp(scan_end, r->end) > 0)
        inside = false;
    if (named && (a->context->region_id != r->id || a->context->version != r->version ||
                  a->context->conf_ver != r->conf_ver)) {
        answer_epoch(a, keys, n);
        return false;
    }
    if (!inside) {
        t->breaches += named;
        answer_epoch(a, keys, n);
        return false;
    }
    if (r->id == t->full[0] || r->id == t->full[1]) {
        fake_answer_status(a->s, a->f, ERR_DISK_FULL, "the disk is full", 0);
        return false;
    }
    if (r->leader == a->self)
        return true;
    if (t->forwards) {
        t->forwarded++;
        return true;
    }
    t->not_leader++;
    fake_answer_not_leader(a->s, a->f, t->forgetful ? NULL : t->s[r->leader].endpoint);
    return false;
}

/* ---- Requests ----------------------------------------------------------------------------------------------- */

static void on_get_region(struct asked *a)
{
    a->t->asked++;
    if (a->t->dumb) {
        fake_answer_status(a->s, a->f, ERR_INTERNAL, "no idea", 0);
        return;
    }
    Flotilla__Pd__GetRegionRequest *q =
        flotilla__pd__get_region_request__unpack(NULL, a->f->body.len, a->f->body.data);
    if (q == NULL || q->key.len < 4)
        abort();
    char key[16];
    text_of(key, load_u32_be(q->key.data),
            (ProtobufCBinaryData){ q->key.len - 4, q->key.data + 4 });
    const struct region *r = region_of(a->t, key);
    struct wire_region w;
    Flotilla__Kv__Status ok = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Pd__GetRegionResponse m = FLOTILLA__PD__GET_REGION_RESPONSE__INIT;
    to_wire(&w, r);
    m.status = &ok;
    m.region = &w.m;
    m.leader_store = r->leader + 1;
    m.leader_address = (ProtobufCBinaryData){ strlen(a->t->s[r->leader].endpoint),
                                              (uint8_t *)a->t->s[r->leader].endpoint };
    answer_message(a, &m.base);
    flotilla__pd__get_region_request__free_unpacked(q, NULL);
}

static void on_put(struct asked *a)
{
    Flotilla__Kv__RawPutRequest *q =
        flotilla__kv__raw_put_request__unpack(NULL, a->f->body.len, a->f->body.data);
    char keys[1][16];
    a->context = q->context;
    text_of(keys[0], q->namespace_id, q->key);
    if (admitted(a, keys, 1, NULL)) {
        struct row *r = row_of(a->t, keys[0], true);
        snprintf(r->value, sizeof r->value, "%.*s", (int)q->value.len, (char *)q->value.data);
        fake_answer(a->s, a->f, bytes_from("\x0a\x00", 2));
    }
    flotilla__kv__raw_put_request__free_unpacked(q, NULL);
}

static void on_get(struct asked *a)
{
    Flotilla__Kv__RawGetRequest *q =
        flotilla__kv__raw_get_request__unpack(NULL, a->f->body.len, a->f->body.data);
    Flotilla__Kv__Status ok = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__RawGetResponse m = FLOTILLA__KV__RAW_GET_RESPONSE__INIT;
    char keys[1][16];
    a->context = q->context;
    text_of(keys[0], q->namespace_id, q->key);
    if (admitted(a, keys, 1, NULL)) {
        struct row *r = row_of(a->t, keys[0], false);
        m.status = &ok;
        m.found = r != NULL && r->value[0] != '\0';
        if (m.found)
            m.value = (ProtobufCBinaryData){ strlen(r->value), (uint8_t *)r->value };
        answer_message(a, &m.base);
    }
    flotilla__kv__raw_get_request__free_unpacked(q, NULL);
}

static void on_scan(struct asked *a)
{
    Flotilla__Kv__RawScanRequest *q =
        flotilla__kv__raw_scan_request__unpack(NULL, a->f->body.len, a->f->body.data);
    Flotilla__Kv__Status ok = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__RawScanResponse m = FLOTILLA__KV__RAW_SCAN_RESPONSE__INIT;
    Flotilla__Kv__KeyValue row[8], *rows[8];
    char keys[1][16], end[16], next[16];
    a->context = q->context;
    text_of(keys[0], q->namespace_id, q->start_key);
    snprintf(end, sizeof end, "%u", (unsigned)q->namespace_id + 1);
    if (q->end_case == FLOTILLA__KV__RAW_SCAN_REQUEST__END_END_KEY)
        text_of(end, q->namespace_id, q->end_key);
    /* A range without end ends with its namespace: only a border within that must be kept. */
    bool unbounded = q->end_case != FLOTILLA__KV__RAW_SCAN_REQUEST__END_END_KEY;
    const char *judged = unbounded && region_of(a->t, keys[0])->end[0] != end[0] - 1 ? "" : end;
    if (admitted(a, keys, 1, judged)) {
        const struct region *r = region_of(a->t, keys[0]);
        const char *stop = strcmp(end, r->end) <= 0 ? end : r->end;
        qsort(a->t->rows, a->t->row_count, sizeof *a->t->rows, by_key);
        m.status = &ok;
        m.rows = rows;
        for (size_t i = 0; i < a->t->row_count && !m.more; i++) {
            struct row *have = &a->t->rows[i];
            if (strcmp(have->key, keys[0]) < 0 || strcmp(have->key, stop) >= 0 ||
                have->value[0] == '\0')
                continue;
            if (m.n_rows == 8 || m.n_rows == q->limit) {
                m.more = true;
                m.next_key =
                    (ProtobufCBinaryData){ strlen(have->key) - 2, (uint8_t *)have->key + 2 };
                break;
            }
            flotilla__kv__key_value__init(&row[m.n_rows]);
            row[m.n_rows].key =
                (ProtobufCBinaryData){ strlen(have->key) - 2, (uint8_t *)have->key + 2 };
            row[m.n_rows].value =
                (ProtobufCBinaryData){ strlen(have->value), (uint8_t *)have->value };
            rows[m.n_rows] = &row[m.n_rows];
            m.n_rows++;
        }
        if (!m.more && stop != end && stop[0] == keys[0][0]) { /* the rest is another region's */
            snprintf(next, sizeof next, "%s", stop + 2);
            m.more = true;
            m.next_key = (ProtobufCBinaryData){ strlen(next), (uint8_t *)next };
        }
        answer_message(a, &m.base);
    }
    flotilla__kv__raw_scan_request__free_unpacked(q, NULL);
}

static void do_command(struct toy *t, const Flotilla__Kv__Command *c, const char *key,
                       Flotilla__Kv__CommandResult *result)
{
    struct row *r = row_of(t, key, true);
    result->version = ++t->next_version;
    if (c->command_case == FLOTILLA__KV__COMMAND__COMMAND_RAW_PUT)
        snprintf(r->value, sizeof r->value, "%.*s", (int)c->raw_put->value.len,
                 (char *)c->raw_put->value.data);
    else
        r->value[0] = '\0';
}

static void on_batch(struct asked *a)
{
    enum { MOST = 256 };
    Flotilla__Kv__BatchRequest *q =
        flotilla__kv__batch_request__unpack(NULL, a->f->body.len, a->f->body.data);
    Flotilla__Kv__Status ok = FLOTILLA__KV__STATUS__INIT;
    Flotilla__Kv__BatchResponse m = FLOTILLA__KV__BATCH_RESPONSE__INIT;
    Flotilla__Kv__CommandResult result[MOST], *results[MOST];
    char keys[MOST][16];
    if (q->n_commands == 0 || q->n_commands > MOST)
        abort();
    for (size_t i = 0; i < q->n_commands; i++) {
        const Flotilla__Kv__Command *c = q->commands[i];
        if (c->command_case == FLOTILLA__KV__COMMAND__COMMAND_RAW_PUT)
            text_of(keys[i], c->raw_put->namespace_id, c->raw_put->key);
        else
            text_of(keys[i], c->raw_delete->namespace_id, c->raw_delete->key);
    }
    a->context = q->context;
    if (admitted(a, keys, q->n_commands, NULL)) {
        for (size_t i = 0; i < q->n_commands; i++) {
            flotilla__kv__command_result__init(&result[i]);
            result[i].status = &ok;
            do_command(a->t, q->commands[i], keys[i], &result[i]);
            results[i] = &result[i];
        }
        a->t->parts++;
        m.status = &ok;
        m.results = results;
        m.n_results = q->n_commands;
        m.hlc = a->t->next_version;
        answer_message(a, &m.base);
    }
    flotilla__kv__batch_request__free_unpacked(q, NULL);
}

static void serve(struct fake *s)
{
    struct toy *t = s->user;
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f)) {
        struct asked a = { .t = t, .s = s, .self = (unsigned)(s - t->s), .f = &f };
        pthread_mutex_lock(&t->lock);
        switch (f.method) {
        case NET_GET_REGION:
            on_get_region(&a);
            break;
        case NET_RAW_PUT:
            on_put(&a);
            break;
        case NET_RAW_GET:
            on_get(&a);
            break;
        case NET_RAW_SCAN:
            on_scan(&a);
            break;
        case NET_BATCH:
            on_batch(&a);
            break;
        default:
            abort();
        }
        pthread_mutex_unlock(&t->lock);
    }
}

static struct toy *toy_start(uint64_t seed, bool forwards)
{
    struct toy *t = calloc(1, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    prng_seed(&t->chance, seed);
    t->forwards = forwards;
    t->regions[0] = (struct region){ .id = 1, .conf_ver = 1, .version = 1, .end = "~" };
    t->count = 1;
    t->next_id = 1;
    for (int i = 0; i < SERVERS; i++) {
        t->s[i].scripts[0] = serve;
        t->s[i].user = t;
        t->s[i].knows_regions = true;
        fake_start(&t->s[i]);
    }
    return t;
}

static void toy_stop(struct toy *t)
{
    for (int i = 0; i < SERVERS; i++)
        fake_stop(&t->s[i]);
    CHECK_EQ(t->breaches, 0);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct flotilla *toy_connect(struct toy *t)
{
    return fake_connect(&t->s[0], 30000);
}

/* ---- What happens to regions -------------------------------------------------------------------------------- */

static void toy_split(struct toy *t, const char *key)
{
    struct region *r = region_of(t, key);
    if (strcmp(r->start, key) == 0 || t->count == REGIONS_MAX)
        return;
    struct region *right = &t->regions[t->count++];
    *right = *r;
    right->id = ++t->next_id;
    right->conf_ver = 1;
    right->version = ++r->version;
    snprintf(right->start, sizeof right->start, "%s", key);
    snprintf(r->end, sizeof r->end, "%s", key);
}

static void toy_merge(struct toy *t, const char *key)
{
    struct region *r = region_of(t, key);
    if (r->end[0] == '~')
        return;
    struct region *right = region_of(t, r->end);
    r->version = (r->version > right->version ? r->version : right->version) + 1;
    memcpy(r->end, right->end, sizeof r->end);
    *right = t->regions[--t->count];
}

static void random_key(struct prng *chance, char out[16])
{
    snprintf(out, 16, "%u:k%02u", (unsigned)prng_range(chance, 1, 3),
             (unsigned)prng_below(chance, KEYS));
}

static void toy_stir(struct toy *t)
{
    char key[16];
    pthread_mutex_lock(&t->lock);
    random_key(&t->chance, key);
    switch (prng_below(&t->chance, 8)) {
    case 0:
    case 1:
    case 2:
        toy_split(t, key);
        break;
    case 3:
        toy_merge(t, key);
        break;
    case 4:
    case 5:
        region_of(t, key)->leader = (unsigned)prng_below(&t->chance, SERVERS);
        break;
    case 6:
        region_of(t, key)->conf_ver++;
        break;
    default:
        t->forgetful = prng_chance(&t->chance, 1, 16);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- Steady ------------------------------------------------------------------------------------------------- */

static void put_text(struct flotilla *db, const char *key, const char *value)
{
    struct flotilla_error e;
    if (flotilla_raw_put(db, (uint32_t)(key[0] - '0'), FLOTILLA_TEXT(key + 2), FLOTILLA_TEXT(value),
                         &e) != FLOTILLA_OK)
        fail_msg("put %s: %s", key, e.message);
}

static void check_text(struct flotilla *db, const char *key, const char *want)
{
    struct flotilla_error e;
    struct flotilla_value v;
    if (flotilla_get(db, (uint32_t)(key[0] - '0'), FLOTILLA_TEXT(key + 2), &v, &e) != FLOTILLA_OK)
        fail_msg("get %s: %s", key, e.message);
    CHECK_EQ(v.found, want[0] != '\0');
    if (v.found)
        CHECK_STR(v.data, want);
    flotilla_value_free(&v);
}

TEST(routing_settles_and_then_asks_nobody)
{
    struct toy *t = toy_start(1, false);
    toy_split(t, "1:k20");
    toy_split(t, "1:k40");
    for (unsigned i = 0; i < 3; i++)
        t->regions[i].leader = i;
    struct flotilla *db = toy_connect(t);
    char key[16];
    unsigned refused = 0, asked = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            snprintf(key, sizeof key, "1:k%02u", i);
            put_text(db, key, "v");
        }
        pthread_mutex_lock(&t->lock);
        if (round > 1) { /* everything is known */
            CHECK_EQ(t->not_leader + t->epoch, refused);
            CHECK_EQ(t->asked, asked);
        }
        refused = t->not_leader + t->epoch;
        asked = t->asked;
        pthread_mutex_unlock(&t->lock);
    }
    CHECK(asked >= 1 && asked <= 3);
    for (int i = 0; i < SERVERS; i++)
        CHECK_EQ(atomic_load(&t->s[i].connections), 1);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_learns_a_split_from_one_refusal)
{
    struct toy *t = toy_start(1, false);
    struct flotilla *db = toy_connect(t);
    put_text(db, "1:k01", "a");
    while (db->region_count == 0)
        flotilla_wait(db, 1);
    toy_split(t, "1:k30");
    put_text(db, "1:k50", "b");
    CHECK_EQ(t->epoch, 1);
    put_text(db, "1:k51", "b");
    CHECK_EQ(t->epoch, 1);
    check_text(db, "1:k50", "b");
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_batch_goes_to_each_region_and_keeps_its_order)
{
    struct toy *t = toy_start(1, false);
    struct flotilla_error e;
    uint64_t version, before = 0;
    toy_split(t, "1:k20");
    toy_split(t, "1:k40");
    toy_split(t, "2:");
    for (unsigned i = 0; i < 4; i++)
        t->regions[i].leader = i % 3;
    struct flotilla *db = toy_connect(t);
    struct flotilla_batch *b = flotilla_batch_new();
    char key[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%02u", i * 7 % KEYS);
        CHECK_EQ(flotilla_batch_put(b, 1 + i % 2, FLOTILLA_TEXT(key), FLOTILLA_TEXT("v")),
                 FLOTILLA_OK);
    }
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK);
    CHECK_EQ(t->parts, 4);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(flotilla_batch_result(b, i, &version), FLOTILLA_OK);
    for (unsigned i = 1; i < 100; i += 2) { /* those of one region: in the order of the batch */
        CHECK_EQ(flotilla_batch_result(b, i, &version), FLOTILLA_OK);
        CHECK(version > before);
        before = version;
    }
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK); /* again, now that all is known */
    CHECK_EQ(t->parts, 8);
    toy_split(t, "1:k10"); /* a part is split once more */
    toy_split(t, "1:k50");
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK);
    CHECK_EQ(t->parts, 14);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(flotilla_batch_result(b, i, &version), FLOTILLA_OK);
    flotilla_batch_free(b);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_batch_that_is_done_in_part_says_which)
{
    struct toy *t = toy_start(1, false);
    struct flotilla_error e;
    toy_split(t, "1:k20");
    struct flotilla *db = toy_connect(t);
    struct flotilla_batch *b = flotilla_batch_new();
    static const char *const keys[] = { "k30", "k10", "k31", "k11" };
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(flotilla_batch_put(b, 1, FLOTILLA_TEXT(keys[i]), FLOTILLA_TEXT("v")), FLOTILLA_OK);
    t->full[0] = 2;
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_UNDETERMINED);
    CHECK_CONTAINS(e.message, "the disk is full");
    CHECK_CONTAINS(e.message, "a part of the batch was done");
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(flotilla_batch_result(b, i, NULL), i % 2 == 0 ? FLOTILLA_DISK_FULL : FLOTILLA_OK);
    t->full[1] = 1;
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_DISK_FULL); /* nothing was done */
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(flotilla_batch_result(b, i, NULL), FLOTILLA_DISK_FULL);
    flotilla_batch_free(b);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_goes_on_where_nobody_can_say_where)
{
    struct toy *t = toy_start(1, true);
    struct flotilla_error e;
    struct flotilla *db = toy_connect(t);
    struct flotilla_batch *b = flotilla_batch_new();
    t->dumb = true;
    t->regions[0].leader = 2;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(flotilla_batch_put(b, 1, FLOTILLA_TEXT("k01"), FLOTILLA_TEXT("v")), FLOTILLA_OK);
        CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK);
    }
    check_text(db, "1:k01", "v");
    CHECK_EQ(t->forwarded, 11);
    CHECK(t->asked >= 1 && t->asked < 11);
    t->dumb = false;
    toy_split(t,
              "1:k20"); /* a batch over two regions, and still no questions: the refusal says it */
    CHECK_EQ(flotilla_batch_put(b, 1, FLOTILLA_TEXT("k30"), FLOTILLA_TEXT("v")), FLOTILLA_OK);
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK);
    CHECK_EQ(t->parts, 12);
    CHECK_EQ(t->epoch, 1);
    flotilla_batch_free(b);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_finds_who_leads_after_a_leader_has_died)
{
    struct toy *t = toy_start(1, true);
    struct flotilla *db = toy_connect(t);
    t->regions[0].leader = 1;
    put_text(db, "1:k01", "v");
    while (db->region_count == 0)
        flotilla_wait(db, 1);
    put_text(db, "1:k01", "v");
    CHECK_EQ(t->forwarded, 1); /* the second went to the leader itself */
    fake_stop(&t->s[1]);
    t->regions[0].leader = 2;
    for (int i = 0; i < 20; i++)
        check_text(db, "1:k01", "v");
    CHECK(t->forwarded <= 10);
    CHECK(atomic_load(&t->s[2].requests) >= 10);
    atomic_store(&t->s[1].stop, false);
    fake_start(&t->s[1]); /* for toy_stop() */
    flotilla_close(db);
    toy_stop(t);
}

/* ---- Restless ----------------------------------------------------------------------------------------------- */

struct model {
    char value[3][KEYS][16];
};

static char *model_at(struct model *m, const char *key)
{
    return m->value[key[0] - '1'][(key[3] - '0') * 10 + key[4] - '0'];
}

static void scan_all(struct flotilla *db, struct toy *t, struct model *m, uint32_t ns)
{
    struct flotilla_error e;
    struct flotilla_scan *scan;
    struct flotilla_row row;
    unsigned from = (unsigned)prng_below(&t->chance, KEYS),
             to = (unsigned)prng_range(&t->chance, from + 1, KEYS), at = from;
    char start[8], end[8];
    snprintf(start, sizeof start, "k%02u", from);
    snprintf(end, sizeof end, "k%02u", to);
    struct flotilla_range range = { .start = FLOTILLA_TEXT(start), .end = FLOTILLA_TEXT(end) };
    if (to == KEYS)
        range.end = FLOTILLA_NONE;
    CHECK_EQ(flotilla_scan(db, ns, &range, &scan, &e), FLOTILLA_OK);
    while (flotilla_scan_next(scan, &row, &e)) {
        while (at < to && m->value[ns - 1][at][0] == '\0')
            at++;
        char key[8];
        snprintf(key, sizeof key, "k%02u", at);
        CHECK_BYTES(bytes_from(row.key.data, row.key.len), BYTES(key));
        CHECK_BYTES(bytes_from(row.value.data, row.value.len), BYTES(m->value[ns - 1][at]));
        at++;
        if (prng_chance(&t->chance, 1, 10))
            toy_stir(t);
    }
    if (e.code != FLOTILLA_OK)
        fail_msg("scan: %s", e.message);
    while (at < to && m->value[ns - 1][at][0] == '\0')
        at++;
    CHECK_EQ(at, to);
    flotilla_scan_close(scan);
}

static void commit_some(struct flotilla *db, struct toy *t, struct model *m, unsigned stamp)
{
    struct flotilla_error e;
    struct flotilla_batch *b = flotilla_batch_new();
    unsigned n = (unsigned)prng_range(&t->chance, 1, 40);
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[16];
        random_key(&t->chance, key);
        uint32_t ns = (uint32_t)(key[0] - '0');
        if (prng_chance(&t->chance, 1, 4)) {
            CHECK_EQ(flotilla_batch_delete(b, ns, FLOTILLA_TEXT(key + 2)), FLOTILLA_OK);
            model_at(m, key)[0] = '\0';
        } else {
            snprintf(value, sizeof value, "%u.%u", stamp, i);
            CHECK_EQ(flotilla_batch_put(b, ns, FLOTILLA_TEXT(key + 2), FLOTILLA_TEXT(value)),
                     FLOTILLA_OK);
            snprintf(model_at(m, key), 16, "%s", value);
        }
    }
    if (flotilla_batch_commit(db, b, &e) != FLOTILLA_OK)
        fail_msg("batch: %s", e.message);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(flotilla_batch_result(b, i, NULL), FLOTILLA_OK);
    flotilla_batch_free(b);
}

static void wander(uint64_t seed, bool forwards)
{
    struct toy *t = toy_start(seed, forwards);
    struct flotilla *db = toy_connect(t);
    struct model *m = calloc(1, sizeof *m);
    char key[16], value[16];
    for (unsigned i = 0; i < 400; i++) {
        for (uint64_t n = prng_below(&t->chance, 3); n > 0; n--)
            toy_stir(t);
        random_key(&t->chance, key);
        switch (prng_below(&t->chance, 4)) {
        case 0:
            snprintf(value, sizeof value, "%u", i);
            put_text(db, key, value);
            snprintf(model_at(m, key), 16, "%s", value);
            break;
        case 1:
            check_text(db, key, model_at(m, key));
            break;
        case 2:
            commit_some(db, t, m, i);
            break;
        default:
            scan_all(db, t, m, (uint32_t)(key[0] - '0'));
        }
    }
    CHECK(t->epoch > 10 && t->asked > 0 && t->parts > 100); /* else nothing was tested */
    CHECK(forwards ? t->forwarded > 0 : t->not_leader > 10);
    free(m);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_is_right_while_regions_change)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        print_message("seed %u\n", (unsigned)seed);
        wander(seed, seed % 2 == 0);
    }
}

struct flight {
    unsigned done, failed;
};

static void landed(void *user, const struct flotilla_result *r)
{
    struct flight *flight = user;
    flight->done++;
    if (r->code != FLOTILLA_OK) {
        flight->failed++;
        print_message("%d: %s\n", r->code, r->message);
    }
}

TEST(routing_many_in_flight_while_regions_change)
{
    enum { N = 3000, BATCHES = 8 };
    struct toy *t = toy_start(77, false);
    struct flotilla *db = toy_connect(t);
    struct flotilla_error e;
    struct flight flight = { 0 };
    struct flotilla_batch *batches[BATCHES];
    char key[16];
    for (int i = 0; i < BATCHES; i++) {
        batches[i] = flotilla_batch_new();
        for (int k = 0; k < 100; k++) {
            random_key(&t->chance, key);
            CHECK_EQ(flotilla_batch_put(batches[i], (uint32_t)(key[0] - '0'),
                                        FLOTILLA_TEXT(key + 2), FLOTILLA_TEXT("v")),
                     FLOTILLA_OK);
        }
        struct flotilla_op op = { .kind = FLOTILLA_OP_BATCH, .batch = batches[i] };
        CHECK_EQ(flotilla_submit(db, &op, landed, &flight, &e), FLOTILLA_OK);
    }
    for (int i = 0; i < N; i++) {
        random_key(&t->chance, key);
        struct flotilla_op op = { .kind = i % 3 == 0 ? FLOTILLA_OP_GET : FLOTILLA_OP_RAW_PUT,
                                  .ns = (uint32_t)(key[0] - '0'),
                                  .key = FLOTILLA_TEXT(key + 2),
                                  .value = FLOTILLA_TEXT("v") };
        CHECK_EQ(flotilla_submit(db, &op, landed, &flight, &e), FLOTILLA_OK);
        if (i % 20 == 0) {
            flotilla_wait(db, 1);
            toy_stir(t);
        }
    }
    while (flotilla_pending(db) > 0)
        flotilla_wait(db, -1);
    CHECK_EQ(flight.done, N + BATCHES);
    CHECK_EQ(flight.failed, 0);
    for (int i = 0; i < BATCHES; i++)
        flotilla_batch_free(batches[i]);
    flotilla_close(db);
    toy_stop(t);
}

TEST(routing_close_ends_parts_and_questions)
{
    struct toy *t = toy_start(5, false);
    struct flotilla_error e;
    struct flight flight = { 0 };
    struct flotilla *db = toy_connect(t);
    struct flotilla_batch *b = flotilla_batch_new();
    toy_split(t, "1:k30");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(
            flotilla_batch_put(b, 1, FLOTILLA_TEXT(i == 0 ? "k01" : "k50"), FLOTILLA_TEXT("v")),
            FLOTILLA_OK);
    }
    struct flotilla_op op = { .kind = FLOTILLA_OP_BATCH, .batch = b };
    CHECK_EQ(flotilla_submit(db, &op, landed, &flight, &e), FLOTILLA_OK); /* waits for its region */
    flotilla_close(db);
    CHECK_EQ(flight.done, 1);
    db = toy_connect(t);
    CHECK_EQ(flotilla_batch_commit(db, b, &e), FLOTILLA_OK);
    CHECK_EQ(flotilla_submit(db, &op, landed, &flight, &e), FLOTILLA_OK); /* in parts */
    flotilla_close(db);
    CHECK_EQ(flight.done, 2);
    CHECK_EQ(flight.failed, 2);
    flotilla_batch_free(b);
    toy_stop(t);
}

TEST_MAIN()
