/* route_bench: the route catalog and its routing engine, in memory, in one process.
 *
 *   route_bench [ROUTES]     100,000 by default
 *
 *   lookup    enter, find, leave, with random keys of 20 bytes: one reader; two; two while a writer swaps tables
 *   memory    of a table, per route          apply, delta, save, read     of one, on one thread
 *
 * All times are CPU time of the thread that works, so that a shared machine does not lie about
 * them; lookups are per reader and second of that. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/prng.h"
#include "catalog/catalog.h"
#include "catalog/engine.h"
#include "catalog/mvcc_mem.h"
#include "uv/world.h"

enum { KEY = 20, READERS = 2, LOOKUPS = 4000000, KEYS_DRAWN = 1 << 16 };

struct bench {
    struct world *world;
    struct catalog_engine *engine;
    struct mvcc_mem *mem;
    struct mvcc door;
    struct catalog catalog;
    size_t count;
    struct route *routes;
    char (*keys)[KEY + 1];
    _Atomic bool done;           /* the readers have */
    _Atomic uint64_t reading_ns; /* CPU time of all readers */
    uint64_t swaps;
};

static void must(err_t rc, const struct err *e)
{
    if (rc == ERR_OK)
        return;
    fprintf(stderr, "route_bench: %s: %s\n", err_name(rc), e->msg);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Starts as regions of a namespace have them: four bytes of namespace, then the user's keys,
 * evenly spread. */
static void make_routes(struct bench *b, size_t count)
{
    b->count = count;
    b->routes = calloc(count, sizeof *b->routes);
    b->keys = calloc(count, sizeof *b->keys);
    for (size_t i = 0; i < count; i++) {
        snprintf(b->keys[i], sizeof b->keys[i], "0001user%012" PRIu64, (uint64_t)i * 1000);
        b->routes[i] =
            (struct route){ .id = i + 1,
                            .group_id = i + 1,
                            .start = i == 0 ? (struct bytes){ 0 } : bytes_from(b->keys[i], KEY),
                            .end_unbounded = i + 1 == count };
        if (i > 0)
            b->routes[i - 1].end = b->routes[i].start;
    }
}

static void *read_some(void *user)
{
    struct bench *b = user;
    struct catalog_reader *r;
    struct prng p;
    char(*keys)[KEY + 1] = malloc(KEYS_DRAWN * sizeof *keys);
    uint64_t sum = 0;
    struct err e = { 0 };
    must(catalog_reader_open(b->engine, &r, &e), &e);
    prng_seed(&p, (uint64_t)(uintptr_t)&r);
    for (unsigned i = 0; i < KEYS_DRAWN; i++)
        snprintf(keys[i], sizeof keys[i], "0001user%012" PRIu64, prng_below(&p, b->count * 1000));
    double began = now();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct catalog_table *t = catalog_reader_enter(r);
        sum += catalog_table_find(t, bytes_from(keys[i % KEYS_DRAWN], KEY))->group_id;
        catalog_reader_leave(r);
    }
    b->reading_ns += (uint64_t)((now() - began) * 1e9);
    catalog_reader_close(r);
    free(keys);
    return (void *)(uintptr_t)(sum > 0);
}

static void *swap_tables(void *user)
{
    struct bench *b = user;
    struct err e = { 0 };
    while (!b->done) {
        must(catalog_engine_update_route(b->engine, BYTES("0002"), NULL, 1, &e), &e);
        b->swaps++;
    }
    return NULL;
}

static double read_with(struct bench *b, unsigned readers, bool swapping)
{
    pthread_t threads[READERS], writer;
    b->done = false;
    b->reading_ns = 0;
    for (unsigned i = 0; i < readers; i++)
        pthread_create(&threads[i], NULL, read_some, b);
    if (swapping)
        pthread_create(&writer, NULL, swap_tables, b);
    for (unsigned i = 0; i < readers; i++)
        pthread_join(threads[i], NULL);
    b->done = true;
    if (swapping)
        pthread_join(writer, NULL);
    return readers * (double)LOOKUPS / ((double)b->reading_ns / 1e9);
}

static void row(const char *what, double value, const char *unit)
{
    printf("%-44s %12.1f %s\n", what, value, unit);
}

static void bench_catalog(struct bench *b)
{
    struct err e = { 0 };
    double t = now();
    must(catalog_save(&b->catalog, 0, b->routes, b->count, NULL, &e), &e);
    row("save, the first", (now() - t) * 1e3, "ms");
    struct catalog_snapshot s;
    t = now();
    must(catalog_snapshot(&b->catalog, &s, &e), &e);
    row("read of a snapshot", (now() - t) * 1e3, "ms");
    t = now();
    must(catalog_engine_apply(b->engine, &s, &e), &e);
    row("apply of a snapshot", (now() - t) * 1e3, "ms");
    catalog_snapshot_free(&s);
    struct catalog_plan plan;
    b->routes[b->count / 2].state = ROUTE_WRITE_FENCED;
    t = now();
    must(catalog_plan(&b->catalog, 1, b->routes, b->count, &plan, &e), &e);
    row("plan of a save that changes one route", (now() - t) * 1e3, "ms");
    t = now();
    must(b->door.apply(b->door.self, &plan.batch, &e), &e);
    row("its batch, applied to the store", (now() - t) * 1e3, "ms");
    t = now();
    must(catalog_engine_apply_delta(b->engine, &plan.delta, &e), &e);
    row("apply of its delta", (now() - t) * 1e3, "ms");
    catalog_plan_free(&plan);
}

static void bench_store(struct bench *b)
{
    struct err e = { 0 };
    struct buf image = { 0 };
    struct mvcc_mem *copy;
    double t = now();
    must(mvcc_mem_encode(b->mem, &image, &e), &e);
    row("image of the store, out", (now() - t) * 1e3, "ms");
    row("its size, per route", (double)image.len / (double)b->count, "bytes");
    t = now();
    must(mvcc_mem_decode(buf_bytes(&image), &copy, &e), &e);
    row("image of the store, in", (now() - t) * 1e3, "ms");
    mvcc_mem_free(copy);
    buf_free(&image);
}

static void bench_lookups(struct bench *b)
{
    struct catalog_engine_memory m;
    catalog_engine_memory(b->engine, &m);
    row("memory of the table, per route", (double)m.bytes / (double)b->count, "bytes");
    row("lookups, one reader", read_with(b, 1, false) / 1e6, "million/s");
    row("lookups, two readers", read_with(b, READERS, false) / 1e6, "million/s");
    double beside = read_with(b, READERS, true);
    row("lookups, two readers, and a writer", beside / 1e6, "million/s");
    row("  tables swapped meanwhile", (double)b->swaps, "");
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct err e = { 0 };
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    if (count < 2) {
        fprintf(stderr, "usage: route_bench [ROUTES]\n");
        return 2;
    }
    must(world_open(NULL, &b.world, &e), &e);
    must(
        catalog_engine_new(world_env(b.world), &(struct catalog_engine_config){ 0 }, &b.engine, &e),
        &e);
    b.mem = mvcc_mem_new();
    b.door = mvcc_mem_door(b.mem);
    b.catalog = (struct catalog){ .store = &b.door, .fresh = { { 1 } } };
    make_routes(&b, count);
    printf("route_bench: %zu routes\n", count);
    bench_catalog(&b);
    bench_store(&b);
    bench_lookups(&b);
    catalog_engine_free(b.engine);
    mvcc_mem_free(b.mem);
    free(b.routes);
    free(b.keys);
    world_close(b.world);
    return 0;
}
