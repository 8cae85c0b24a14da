/* What a script costs: plans of the embedded policies over views of growing size, through the real host and its lane.
 *
 * Each row: regions of the view, plans made, the plan's own time in Lua (median and p99), the time from the question on
 * the loop to the answer on the loop (median), instructions per region. */
#include "script/script.h"
#include "uv/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLANS = 200, REGIONS_MAX = 10000 };

struct bench {
    struct env *env;
    struct pd_policy policy;
    struct pd_view view;
    uint64_t in_lua[PLANS], round_trip[PLANS], instructions, asked;
    unsigned made;
    bool failed;
};

static void ask(struct bench *b);

static void answered(void *user, const struct pd_plan *plan)
{
    struct bench *b = user;
    if (plan->rc != ERR_OK) {
        fprintf(stderr, "script_bench: a plan failed: %s\n", plan->error);
        b->failed = true;
        env_stop(b->env);
        return;
    }
    b->in_lua[b->made] = plan->elapsed_ns;
    b->round_trip[b->made] = env_now(b->env) - b->asked;
    b->instructions = plan->instructions;
    if (++b->made == PLANS)
        env_stop(b->env);
    else
        ask(b);
}

static void ask(struct bench *b)
{
    b->view.decision_id++;
    b->asked = env_now(b->env);
    b->policy.plan(b->policy.self, &b->view, answered, b);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void row(struct bench *b, struct world *world, size_t regions)
{
    b->view.region_count = regions;
    b->made = 0;
    ask(b);
    world_run(world);
    if (b->failed)
        return;
    qsort(b->in_lua, PLANS, sizeof b->in_lua[0], by_size);
    qsort(b->round_trip, PLANS, sizeof b->round_trip[0], by_size);
    printf("%8zu %6d %12.1f %12.1f %14.1f %14.2f\n", regions, PLANS,
           (double)b->in_lua[PLANS / 2] / 1e3, (double)b->in_lua[PLANS * 99 / 100] / 1e3,
           (double)b->round_trip[PLANS / 2] / 1e3,
           (double)b->in_lua[PLANS / 2] / 1e3 / (double)regions);
}

static struct pd_region_view *make_regions(void)
{
    static const char *const keys[] = { "a", "b", "c", "d" };
    struct bytes *samples = calloc(4, sizeof *samples);
    struct pd_region_view *regions = calloc(REGIONS_MAX, sizeof *regions);
    if (samples == NULL || regions == NULL)
        abort();
    for (size_t i = 0; i < 4; i++)
        samples[i] = BYTES(keys[i]);
    for (size_t i = 0; i < REGIONS_MAX; i++)
        regions[i] = (struct pd_region_view){ .id = i + 1,
                                              .conf_ver = 1,
                                              .version = 1,
                                              .end_unbounded = true,
                                              .approx_bytes = 1000000 + i,
                                              .approx_keys = 1000,
                                              .samples = samples,
                                              .sample_count = 4,
                                              .leader_store = 1 };
    return regions;
}

int main(void)
{
    struct err e = { 0 };
    struct world *world = NULL;
    struct script_host *host = NULL;
    struct script_limits limits = { 256u << 20, 100000000, 10000 };
    struct script_config config = { .policy = limits, .session = limits, .sessions_max = 1 };
    struct pd_store_view store = { .id = 1, .address = "127.0.0.1:7700", .state = "up" };
    struct bench *b = calloc(1, sizeof *b);
    if (b == NULL || world_open(NULL, &world, &e) != ERR_OK ||
        script_host_open(world_env(world), NULL, &config, &host, &e) != ERR_OK) {
        fprintf(stderr, "script_bench: %s\n", e.msg);
        return 1;
    }
    struct pd_region_view *regions = make_regions();
    b->env = world_env(world);
    b->view =
        (struct pd_view){ .now_ms = 1, .stores = &store, .store_count = 1, .regions = regions };
    script_host_policy(host, &b->policy);
    printf("%8s %6s %12s %12s %14s %14s\n", "regions", "plans", "Lua us p50", "Lua us p99",
           "round trip us", "us per region");
    for (size_t n = 1; n <= REGIONS_MAX && !b->failed; n *= 10)
        row(b, world, n);
    bool failed = b->failed;
    script_host_close(host);
    world_close(world);
    free((void *)(uintptr_t)regions[0].samples);
    free(regions);
    free(b);
    return failed;
}
