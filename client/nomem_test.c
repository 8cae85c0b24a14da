/* Memory that is gone: the Nth allocation of the client fails, for every N. A call then says so, or has another honest
 * outcome; it never crashes, never answers OK for what did not happen, and the handle works again afterwards. */
#include "fake_server.inc"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static _Thread_local unsigned long
    countdown; /* 0: nothing fails; else so many allocations from now on, then one fails */
static _Thread_local bool failed;

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* Puts and deletes are OK; gets and scans find one thing. */
static void serve(struct fake *s)
{
    static const uint8_t found[] = { 0x0a, 0, 0x10, 1, 0x1a, 3, 'a', 'b', 'c' };
    static const uint8_t rows[] = { 0x0a, 0, 0x12, 6, 0x0a, 1, 'k', 0x12, 1, 'v' };
    static const uint8_t name[] = { 0x0a, 0, 0x12, 6, 0x08, 9, 0x12, 2, 'n', 's' };
    static const uint8_t batch[] = { 0x0a, 0, 0x12, 2, 0x0a, 0 };
    /* A region from "l" or up to it, whatever is asked; a batch of "k" and "m" is two. */
    static const uint8_t low[] = { 0x0a, 0, 0x12, 9, 8, 1, 0x1a, 5, 0, 0, 0, 1, 'l' };
    static const uint8_t high[] = { 0x0a, 0, 0x12, 11, 8, 2, 0x12, 5, 0, 0, 0, 1, 'l', 0x20, 1 };
    struct net_frame f;
    if (!fake_hello(s))
        return;
    while (fake_request(s, &f)) {
        if (f.method == NET_RAW_GET)
            fake_answer(s, &f, bytes_from(found, sizeof found));
        else if (f.method == NET_RAW_SCAN)
            fake_answer(s, &f, bytes_from(rows, sizeof rows));
        else if (f.method == NET_GET_REGION && f.body.data[f.body.len - 1] < 'l')
            fake_answer(s, &f, bytes_from(low, sizeof low));
        else if (f.method == NET_GET_REGION)
            fake_answer(s, &f, bytes_from(high, sizeof high));
        else if (f.method == NET_GET_NAMESPACE)
            fake_answer(s, &f, bytes_from(name, sizeof name));
        else if (f.method == NET_BATCH)
            fake_answer(s, &f, bytes_from(batch, sizeof batch));
        else
            fake_answer(s, &f, bytes_from("\x0a\x00", 2));
    }
}

static int everything(const struct fake *s)
{
    struct flotilla *db = NULL;
    struct flotilla_error e;
    struct flotilla_value v = { 0 };
    struct flotilla_scan *scan = NULL;
    struct flotilla_row row;
    struct flotilla_batch *batch = NULL;
    uint32_t id;
    char *json = NULL;
    struct flotilla_options o = { .size = sizeof o, .endpoint = s->endpoint, .timeout_ms = 10000 };
    int rc = flotilla_open(&o, &db, &e);
    if (rc == FLOTILLA_OK)
        rc = flotilla_raw_put(db, 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("v"), &e);
    if (rc == FLOTILLA_OK)
        rc = flotilla_get(db, 1, FLOTILLA_TEXT("k"), &v, &e);
    if (rc == FLOTILLA_OK)
        CHECK_STR(v.data, "abc");
    if (rc == FLOTILLA_OK)
        rc = flotilla_scan(db, 1, NULL, &scan, &e);
    if (rc == FLOTILLA_OK) {
        unsigned n = 0;
        while (flotilla_scan_next(scan, &row, &e))
            n++;
        rc = e.code;
        CHECK(rc == FLOTILLA_OK ? n >= 1 && n <= 2 : n <= 1); /* a page of each region, if known */
    }
    if (rc == FLOTILLA_OK)
        rc = flotilla_namespace_find(db, "ns", &id, &e);
    if (rc == FLOTILLA_OK)
        rc = flotilla_admin(db, "status", NULL, &json, &e);
    if (rc == FLOTILLA_OK)
        rc = (batch = flotilla_batch_new()) != NULL ? FLOTILLA_OK : FLOTILLA_RESOURCE_EXHAUSTED;
    if (rc == FLOTILLA_OK)
        rc = flotilla_batch_put(batch, 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("v"));
    if (rc == FLOTILLA_OK)
        rc = flotilla_batch_put(batch, 1, FLOTILLA_TEXT("m"), FLOTILLA_TEXT("v"));
    if (rc == FLOTILLA_OK)
        rc = flotilla_batch_commit(db, batch, &e);
    if (rc == FLOTILLA_OK && flotilla_batch_result(batch, 1, NULL) != FLOTILLA_OK)
        fail_msg("OK, and not done");
    countdown = 0;
    if (rc != FLOTILLA_OK && db != NULL)
        CHECK_EQ(flotilla_raw_put(db, 1, FLOTILLA_TEXT("k"), FLOTILLA_TEXT("v"), &e), FLOTILLA_OK);
    flotilla_batch_free(batch);
    flotilla_free(json);
    flotilla_scan_close(scan);
    flotilla_value_free(&v);
    flotilla_close(db);
    return rc;
}

TEST(flotilla_survives_the_loss_of_any_allocation)
{
    struct fake s = { .scripts = { serve }, .knows_regions = true };
    fake_start(&s);
    unsigned long n = 0, told = 0;
    do {
        failed = false;
        countdown = ++n;
        told += everything(&s) != FLOTILLA_OK;
        countdown = 0;
    } while (failed && n < 1000);
    CHECK(n > 15 &&
          n < 1000);   /* every allocation has had its turn, and nothing failed in the last round */
    CHECK(told >= 10); /* some loss is harmless: a name is not remembered, a read is asked again */
    fake_stop(&s);
}

TEST_MAIN()
