#include "pd/pd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/hlc.h"

struct pd {
    struct env *env;
    struct logger *log;
    struct region_store *regions;
    struct pd_policy policy;
    struct pd_config config;
    struct env_timer timer;
    bool stopped;
    uint64_t plan_id; /* of the plan under way, or of the last one */
    struct pd_stats stats;
    struct pd_decision decisions[PD_DECISIONS_KEPT];
    uint64_t decided;
    /* The view of the plan under way; proposals are checked against what is then. */
    struct pd_store_view store;
    struct pd_region_view region_view;
};

static struct pd_view make_view(struct pd *pd)
{
    const struct region_stats *s = region_stats(pd->regions);
    uint64_t now_ms = hlc_physical(region_hlc(pd->regions));
    pd->store = (struct pd_store_view){
        .id = pd->config.store_id,
        .address = pd->config.address,
        .state = s->latched ? "failed" : "up",
        .capacity_bytes = s->disk_total,
        .available_bytes = s->disk_available,
        .region_count = s->regions,
        .leader_count = s->leaders,
    };
    struct region_info info = { 0 };
    (void)!region_info(pd->regions, REGION_SYSTEM,
                       &info); /* every store has it until regions split */
    pd->region_view = (struct pd_region_view){
        .id = info.id,
        .conf_ver = info.conf_ver,
        .version = info.version,
        .start_key = info.start,
        .end_key = info.end,
        .end_unbounded = info.end_unbounded,
        .approx_bytes = s->approx_bytes,
        .approx_keys = s->approx_keys,
        .reads_per_s = s->reads_per_s,
        .writes_per_s = s->writes_per_s,
        .reads = s->reads,
        .writes = s->writes,
        .leader_store = info.leader_store,
    };
    pd->region_view.sample_count = region_samples(pd->regions, &pd->region_view.samples);
    return (struct pd_view){
        .now_ms = now_ms,
        .decision_id = pd->plan_id,
        .stores = &pd->store,
        .store_count = 1,
        .regions = &pd->region_view,
        .region_count = 1,
    };
}

static void keep_proposal(struct pd *pd, struct pd_decision *d, const struct pd_view *view,
                          const struct pd_proposal *p, bool taken)
{
    struct pd_checked *c = &d->proposals[d->count++];
    *c = (struct pd_checked){ .kind = p->kind,
                              .region_id = p->region_id,
                              .from_store = p->from_store,
                              .to_store = p->to_store };
    size_t len = p->split_key.len < sizeof c->split_key ? p->split_key.len : sizeof c->split_key;
    if (len > 0)
        memcpy(c->split_key, p->split_key.data, len);
    c->split_key_len = (uint32_t)len;
    snprintf(c->reason, sizeof c->reason, "%s", p->reason);
    if (taken)
        snprintf(c->verdict, sizeof c->verdict,
                 "refused: this plan has one for the region already");
    else
        c->accepted = pd_check(view, p, c->verdict, sizeof c->verdict);
    *(c->accepted ? &pd->stats.accepted : &pd->stats.refused) += 1;
    logger_info(pd->log, "policy proposal", logger_text("kind", pd_kind_name(p->kind)),
                logger_u64("region", p->region_id),
                logger_bytes("key", bytes_from(c->split_key, c->split_key_len)),
                logger_text("reason", c->reason), logger_text("verdict", c->verdict),
                logger_u64("decision", d->id));
}

static void planned(void *user, const struct pd_plan *plan)
{
    struct pd *pd = user;
    struct pd_view view = make_view(pd);
    struct pd_decision *d = &pd->decisions[pd->decided++ % PD_DECISIONS_KEPT];
    *d = (struct pd_decision){ .id = pd->plan_id,
                               .at_ms = view.now_ms,
                               .rc = plan->rc,
                               .instructions = plan->instructions,
                               .elapsed_ns = plan->elapsed_ns };
    snprintf(d->error, sizeof d->error, "%s", plan->error != NULL ? plan->error : "");
    snprintf(d->notes, sizeof d->notes, "%s", plan->notes != NULL ? plan->notes : "");
    if (plan->rc != ERR_OK) {
        pd->stats.failed++;
        logger_warn(pd->log, "the policies made no plan", logger_text("error", err_name(plan->rc)),
                    logger_text("reason", d->error));
    } else {
        size_t kept = plan->count < PD_PROPOSALS_KEPT ? plan->count : PD_PROPOSALS_KEPT;
        d->left_out = (unsigned)(plan->count - kept);
        for (size_t i = 0; i < kept; i++) {
            bool taken = false;
            for (size_t j = 0; j < i; j++)
                taken |= plan->proposals[j].region_id == plan->proposals[i].region_id;
            keep_proposal(pd, d, &view, &plan->proposals[i], taken);
        }
    }
    if (!pd->stopped)
        env_timer_start(pd->env, &pd->timer, (uint64_t)pd->config.interval_ms * 1000000);
}

static void ask(struct env_timer *timer)
{
    struct pd *pd = container_of(timer, struct pd, timer);
    if (!region_leads(pd->regions, REGION_SYSTEM, NULL)) { /* whoever leads it asks the policies */
        env_timer_start(pd->env, &pd->timer, (uint64_t)pd->config.interval_ms * 1000000);
        return;
    }
    pd->plan_id = region_hlc(pd->regions); /* intervals are longer than a tick: one per plan */
    struct pd_view view = make_view(pd);
    pd->stats.plans++;
    pd->policy.plan(pd->policy.self, &view, planned, pd);
}

struct pd *pd_new(struct env *env, struct logger *log, struct region_store *regions,
                  const struct pd_policy *policy, const struct pd_config *config)
{
    struct pd *pd = calloc(1, sizeof *pd);
    if (pd == NULL)
        abort(); /* small and fixed */
    pd->env = env;
    pd->log = log;
    pd->regions = regions;
    pd->policy = *policy;
    pd->config = *config;
    pd->timer.fire = ask;
    if (config->interval_ms > 0)
        env_timer_start(env, &pd->timer, (uint64_t)config->interval_ms * 1000000);
    return pd;
}

void pd_stop(struct pd *pd)
{
    pd->stopped = true;
    env_timer_stop(pd->env, &pd->timer);
}

void pd_close(struct pd *pd)
{
    free(pd);
}

const struct pd_decision *pd_decision(const struct pd *pd, unsigned back)
{
    if (back >= pd->decided || back >= PD_DECISIONS_KEPT)
        return NULL;
    return &pd->decisions[(pd->decided - 1 - back) % PD_DECISIONS_KEPT];
}

void pd_stats(const struct pd *pd, struct pd_stats *ret)
{
    *ret = pd->stats;
}
