/* What the core demands of a proposal, whoever made it. A policy can be wrong, or hostile: nothing
 * it says is trusted, and a refusal says why in words that the policy's author can act on. */
#include "pd/pd.h"

#include <stdio.h>

enum { SPLIT_KEY_MAX = 4096 + 4 }; /* a namespace and a user's key */

const char *pd_kind_name(enum pd_kind kind)
{
    switch (kind) {
    case PD_SPLIT:
        return "split";
    case PD_MOVE:
        return "move";
    case PD_MERGE:
        return "merge";
    case PD_TRANSFER_LEADER:
        return "transfer_leader";
    }
    return "unknown";
}

static const struct pd_region_view *find_region(const struct pd_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->region_count; i++)
        if (view->regions[i].id == id)
            return &view->regions[i];
    return NULL;
}

static const struct pd_store_view *find_store(const struct pd_view *view, uint64_t id)
{
    for (size_t i = 0; i < view->store_count; i++)
        if (view->stores[i].id == id)
            return &view->stores[i];
    return NULL;
}

static const char *refuse_split(const struct pd_region_view *region, struct bytes key)
{
    if (key.len == 0)
        return "refused: no split key";
    if (key.len > SPLIT_KEY_MAX)
        return "refused: the split key is longer than a key can be";
    if (bytes_compare(key, region->start_key) <= 0)
        return "refused: the split key is not behind the region's start";
    if (!region->end_unbounded && bytes_compare(key, region->end_key) >= 0)
        return "refused: the split key is not before the region's end";
    return NULL;
}

static const char *refuse_target(const struct pd_view *view, const struct pd_region_view *region,
                                 const struct pd_proposal *p)
{
    if (find_store(view, p->to_store) == NULL)
        return "refused: the target store is unknown";
    if (p->kind == PD_MOVE && p->from_store == p->to_store)
        return "refused: source and target are the same store";
    if (p->kind == PD_MOVE && find_store(view, p->from_store) == NULL)
        return "refused: the source store is unknown";
    if (region->leader_store == p->to_store)
        return "refused: the target already holds the region";
    return NULL;
}

bool pd_check(const struct pd_view *view, const struct pd_proposal *p, char *why, size_t len)
{
    const struct pd_region_view *region = find_region(view, p->region_id);
    const char *refused = NULL;
    if (region == NULL)
        refused = "refused: the region is unknown";
    else if (p->conf_ver != region->conf_ver || p->version != region->version)
        refused = "refused: the region has changed since the view was taken";
    else if (p->reason[0] == 0)
        refused = "refused: a proposal carries a reason";
    else if (p->kind == PD_SPLIT)
        refused = refuse_split(region, buf_bytes(&p->split_key));
    else if (p->kind == PD_MOVE || p->kind == PD_TRANSFER_LEADER)
        refused = refuse_target(view, region, p);
    else if (p->kind == PD_MERGE)
        refused = view->region_count < 2 ? "refused: there is no neighbour to merge with" : NULL;
    else
        refused = "refused: unknown kind of proposal";
    snprintf(why, len, "%s", refused != NULL ? refused : "accepted: logged, not executed yet");
    return refused == NULL;
}
