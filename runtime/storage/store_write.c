/* Blocking writes of a store that is alone: callers that meet share one entry (group commit).
 *
 *   callers   A B C          D E F G            H ...
 *   group     [A B C] ------ log | apply
 *   group                    [D E F G] ---- waits - log | apply          forms while the one before it syncs
 *   group                                       [H ...] - waits ...
 *
 * The first caller of a group leads it: waits for the log, closes the group, does the work of all,
 * wakes them. While one group is applied the next one is already being synced. A group's object is
 * used again: who waits in it waits for its generation to pass. */
#include <assert.h>
#include <stdlib.h>

#include "store_int.h"

struct call {
    struct call *next;
    struct command command;
    struct bytes body;
    struct storage_result result;
    err_t rc;
    struct err why;
};

struct store_group {
    struct store_group *next_idle, *next_all;
    struct env_lock *lock;
    _Atomic uint64_t generation; /* grows when the group's work is done */
    struct call *calls, **tail;
    uint32_t count;
    size_t bytes;
    struct storage_records *records;
    struct storage_apply *apply;
    struct buf entry;
};

void store_groups_free(struct storage *store)
{
    while (store->groups != NULL) {
        struct store_group *group = store->groups;
        store->groups = group->next_all;
        storage_records_free(group->records);
        storage_apply_free(group->apply);
        buf_free(&group->entry);
        env_lock_free(group->lock);
        free(group);
    }
}

/* With the queue's lock held. */
static err_t group_new(struct storage *store, struct store_group **ret, struct err *e)
{
    struct store_group *group = store->idle;
    if (group != NULL) {
        store->idle = group->next_idle;
    } else {
        group = calloc(1, sizeof *group);
        if (group == NULL)
            abort(); /* small; as many as meet at once */
        err_t rc = env_lock_new(store->env, &group->lock, e);
        if (rc != ERR_OK) {
            free(group);
            return rc;
        }
        group->records = storage_records_new(store);
        group->apply = storage_apply_new(store);
        group->next_all = store->groups;
        store->groups = group;
    }
    group->calls = NULL;
    group->tail = &group->calls;
    group->count = 0;
    group->bytes = 0;
    *ret = group;
    return ERR_OK;
}

/* Joins the group that forms, or begins one: then the caller leads. */
static err_t join(struct storage *store, struct call *call, struct store_group **ret,
                  uint64_t *generation, bool *leads, struct err *e)
{
    size_t bytes = COMMAND_HEADER + call->body.len;
    err_t rc = ERR_OK;
    env_lock_enter(store->queue_lock);
    struct store_group *group = store->forming;
    size_t room = COMMAND_ENTRY_MAX - COMMAND_ENTRY_HEADER;
    if (group != NULL && (group->count == COMMAND_COUNT_MAX || group->bytes + bytes > room))
        group = NULL; /* full: its leader goes on with it alone */
    *leads = group == NULL;
    if (*leads)
        rc = group_new(store, &group, e);
    if (rc == ERR_OK) {
        store->forming = group;
        *group->tail = call;
        group->tail = &call->next;
        group->count++;
        group->bytes += bytes;
        *generation = atomic_load(&group->generation);
        *ret = group;
    }
    env_lock_leave(store->queue_lock);
    return rc;
}

static void end_calls(struct call *calls, err_t rc, const struct err *why)
{
    for (struct call *call = calls; call != NULL; call = call->next) {
        call->rc = rc;
        call->why = *why;
    }
}

/* The library's own clock for entries: the wall clock, never backwards. A node stamps its turns by its HLC. */
static uint64_t stamp(struct storage *store)
{
    uint64_t wall = env_wall(store->env) / 1000000 << 16, last = atomic_load(&store->stamp), next;
    do
        next = wall > last ? wall : last + 1;
    while (!atomic_compare_exchange_weak(&store->stamp, &last, next));
    return next;
}

/* An entry of some of the calls, as many as one takes: `*rest` are the others. */
static err_t build_entry(struct storage *store, struct store_group *group, struct call *calls,
                         struct call **rest, struct err *e)
{
    struct buf *entry = &group->entry;
    struct call *call = calls;
    size_t max = storage_entry_max(store);
    uint16_t count = 0;
    buf_clear(entry);
    err_t rc = storage_entry_begin(entry, stamp(store), STORE_VERSION);
    for (; rc == ERR_OK && call != NULL && count < COMMAND_COUNT_MAX; call = call->next, count++) {
        if (COMMAND_HEADER + call->body.len > max - entry->len)
            break;
        rc = storage_entry_add(entry, call->command.kind, call->body);
    }
    if (rc != ERR_OK)
        return err_set(e, rc, "no memory for a log entry");
    if (count == 0)
        return err_set(e, ERR_TOO_LARGE,
                       "a log segment has no room for this command: segment_bytes is too small");
    storage_entry_end(entry, count);
    *rest = call;
    return ERR_OK;
}

/* The entry becomes the log's next: durable when it returns, and so committed. */
static err_t log_entry(struct storage *store, struct store_group *group, struct raft_ent *ent,
                       struct err *e)
{
    store_stage_enter(&store->log);
    const struct ledger_region *region = ledger_region(&store->ledger, STORE_REGION);
    raft_index last = region != NULL ? region->last : 0;
    raft_term term = region != NULL ? ledger_region_term(region, last) : 0;
    if (region != NULL && region->hs.term > term)
        term = region->hs.term;
    if (term == 0)
        term = 1;
    struct raft_hs hs = { .term = term, .vote = STORE_VOTE, .commit = last };
    *ent = (struct raft_ent){ .term = term,
                              .index = last + 1,
                              .len = (uint32_t)group->entry.len,
                              .type = RAFT_ENT_NORMAL,
                              .data = group->entry.data };
    storage_records_reset(group->records);
    err_t rc = storage_records_append(group->records, STORE_REGION, hs, ent, 1);
    if (rc != ERR_OK)
        err_set(e, rc, "no memory for a log batch");
    else
        rc = store_sync(store, group->records, e);
    store_stage_leave(&store->log);
    return rc;
}

static bool comes_next(struct storage *store, raft_index index)
{
    struct layout_apply_state applied;
    progress_applied(store->progress, STORE_REGION, &applied);
    return applied.index + 1 == index;
}

/* In log order: the entries before this one are on their way. */
static err_t apply_entry(struct storage *store, struct store_group *group,
                         const struct raft_ent *ent, struct err *e)
{
    uint32_t slot;
    struct store_stage *stage = &store->applying;
    storage_apply_reset(group->apply);
    err_t rc = storage_apply_entry(group->apply, STORE_REGION, ent, STORE_VERSION, &slot);
    if (rc != ERR_OK)
        return store_latch(store, err_set(e, rc, "no memory to apply an entry"), e);
    env_lock_enter(stage->lock);
    while (stage->busy || !(comes_next(store, ent->index) || atomic_load(&store->latched)))
        env_lock_wait(stage->lock, UINT64_MAX);
    stage->busy = true;
    env_lock_leave(stage->lock);
    rc = store_apply(store, group->apply, e);
    store_stage_leave(stage);
    return rc;
}

static void take_results(struct storage_apply *apply, struct call *calls, const struct call *end)
{
    uint32_t i = 0;
    for (struct call *call = calls; call != end; call = call->next, i++) {
        call->result = store_apply_take(apply, i);
        call->rc = ERR_OK;
    }
}

/* Log and apply, for all. Small segments may take less than a group: then in several entries. */
static void lead(struct storage *store, struct store_group *group)
{
    struct err e = { 0 };
    store_stage_enter(&store->log);
    env_lock_enter(store->queue_lock);
    if (store->forming == group)
        store->forming = NULL; /* closed: from here on the calls are ours */
    env_lock_leave(store->queue_lock);
    store_stage_leave(&store->log);

    for (struct call *calls = group->calls, *rest = NULL; calls != NULL; calls = rest) {
        struct raft_ent ent;
        err_t rc = build_entry(store, group, calls, &rest, &e);
        if (rc == ERR_OK)
            rc = log_entry(store, group, &ent, &e);
        if (rc == ERR_OK)
            rc = apply_entry(store, group, &ent, &e);
        if (rc != ERR_OK) {
            end_calls(calls, rc, &e);
            break;
        }
        take_results(group->apply, calls, rest);
    }
}

/* The group's memory is free for others; whoever waits in it may go. */
static void release(struct storage *store, struct store_group *group)
{
    env_lock_enter(group->lock);
    atomic_fetch_add(&group->generation, 1);
    env_lock_wake(group->lock);
    env_lock_leave(group->lock);
    env_lock_enter(store->queue_lock);
    group->next_idle = store->idle;
    store->idle = group;
    env_lock_leave(store->queue_lock);
}

static err_t submit(struct storage *store, struct call *call, struct err *e)
{
    struct store_group *group;
    uint64_t generation;
    bool leads;
    err_t rc = storage_latched(store, e);
    if (rc == ERR_OK)
        rc = join(store, call, &group, &generation, &leads, e);
    if (rc != ERR_OK)
        return rc;
    if (leads) {
        lead(store, group);
        release(store, group);
    } else {
        env_lock_enter(group->lock);
        while (atomic_load(&group->generation) == generation)
            env_lock_wait(group->lock, UINT64_MAX);
        env_lock_leave(group->lock);
    }
    if (call->rc != ERR_OK && e != NULL)
        *e = call->why;
    return call->rc;
}

/* ---- The calls ------------------------------------------------------------------------------- */

err_t store_namespace_check(const struct storage *store, uint32_t ns, struct err *e)
{
    if (namespaces_exists(store->namespaces, ns))
        return ERR_OK;
    return err_set(e, ERR_NOT_FOUND, "there is no namespace %u", ns);
}

static err_t explain(const struct storage_result *result, struct err *e)
{
    unsigned long long version = result->version;
    switch (result->rc) {
    case ERR_OK:
        return ERR_OK;
    case ERR_CONFLICT:
        return result->absent
                   ? err_set(e, result->rc, "the key is absent (its last version: %llu)", version)
                   : err_set(e, result->rc, "the key has version %llu", version);
    case ERR_NOT_FOUND:
        return err_set(e, result->rc, "the key is absent, or its namespace is");
    case ERR_OVERFLOW:
        return err_set(e, result->rc, "the key's version is at its end: nothing was changed");
    case ERR_RESOURCE_EXHAUSTED:
        return err_set(e, result->rc, "there are as many namespaces as there can be");
    case ERR_CORRUPTION:
        return err_set(e, result->rc,
                       "the stored record of this key is damaged: nothing was changed");
    default:
        return err_set(e, result->rc, "the command was refused");
    }
}

/* Checks, encodes, submits. `result` may be NULL. */
static err_t write_command(struct storage *store, const struct command *command,
                           struct storage_result *result, struct err *e)
{
    assert(store->config.alone); /* elsewhere consensus writes */
    struct call call = { .command = *command };
    struct buf body = { 0 };
    err_t rc = command_check(command, e);
    if (rc == ERR_OK && command->kind != COMMAND_NAMESPACE)
        rc = store_namespace_check(store, command->namespace_id, e);
    if (rc == ERR_OK) {
        rc = command_encode(command, &body);
        if (rc != ERR_OK)
            err_set(e, rc, "no memory for a command");
    }
    if (rc == ERR_OK) {
        call.body = buf_bytes(&body);
        rc = submit(store, &call, e);
    }
    buf_free(&body);
    if (rc != ERR_OK)
        return rc;
    rc = explain(&call.result, e);
    if (result != NULL)
        *result = call.result;
    else
        storage_result_free(&call.result);
    return rc;
}

err_t storage_put_raw(struct storage *store, uint32_t ns, struct bytes key, struct bytes value,
                      struct err *e)
{
    struct command command = {
        .kind = COMMAND_RAW_PUT, .namespace_id = ns, .key = key, .value = value
    };
    return write_command(store, &command, NULL, e);
}

err_t storage_delete_raw(struct storage *store, uint32_t ns, struct bytes key, struct err *e)
{
    struct command command = { .kind = COMMAND_RAW_DELETE, .namespace_id = ns, .key = key };
    return write_command(store, &command, NULL, e);
}

err_t storage_cas(struct storage *store, uint32_t ns, struct bytes key, uint64_t expected,
                  struct bytes value, bool want_current, struct storage_result *result,
                  struct err *e)
{
    struct command command = { .kind = COMMAND_CAS,
                               .namespace_id = ns,
                               .key = key,
                               .value = value,
                               .expected_version = expected,
                               .want_current = want_current };
    *result = (struct storage_result){ 0 };
    return write_command(store, &command, result, e);
}

err_t storage_delete_cas(struct storage *store, uint32_t ns, struct bytes key, bool conditional,
                         uint64_t expected, struct storage_result *result, struct err *e)
{
    struct command command = { .kind = COMMAND_CAS_DELETE,
                               .namespace_id = ns,
                               .key = key,
                               .conditional = conditional,
                               .expected_version = expected };
    *result = (struct storage_result){ 0 };
    return write_command(store, &command, result, e);
}

err_t storage_create_namespace(struct storage *store, uint32_t id, struct bytes name,
                               struct bytes mode, struct err *e)
{
    struct command command = {
        .kind = COMMAND_NAMESPACE, .namespace_id = id, .key = name, .value = mode
    };
    err_t rc = write_command(store, &command, NULL, e);
    return rc == ERR_ALREADY_EXISTS ? err_set(e, rc, "the namespace's id or name is taken") : rc;
}
