/* Blocking writes: callers that meet share one turn (group commit).
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
    struct storage_turn *turn;
};

void store_groups_free(struct storage *store)
{
    while (store->groups != NULL) {
        struct store_group *group = store->groups;
        store->groups = group->next_all;
        storage_turn_free(group->turn);
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
        group->turn = storage_turn_new(store);
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

/* Some of the group's calls, as many as one entry takes: `*rest` are the others. */
static void fill_turn(struct storage_turn *turn, struct call *calls, struct call **rest)
{
    struct call *call = calls;
    uint32_t slot;
    while (call != NULL && storage_turn_add(turn, &call->command, call->body, &slot) == ERR_OK)
        call = call->next;
    *rest = call;
}

static void take_results(struct storage_turn *turn, struct call *calls, const struct call *end)
{
    uint32_t slot = 0;
    for (struct call *call = calls; call != end; call = call->next, slot++) {
        struct storage_result *result = &turn->slots[slot].result;
        call->result = *result;
        *result = (struct storage_result){ 0 };
        call->rc = ERR_OK;
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

/* Log and apply, for all. Small segments may take less than a group: then in several turns. */
static void lead(struct storage *store, struct store_group *group)
{
    struct err e = { 0 };
    struct storage_turn *turn = group->turn;
    store_stage_enter(&store->log);
    env_lock_enter(store->queue_lock);
    if (store->forming == group)
        store->forming = NULL; /* closed: from here on the calls are ours */
    env_lock_leave(store->queue_lock);
    store_stage_leave(&store->log);

    for (struct call *calls = group->calls, *rest; calls != NULL; calls = rest) {
        raft_index index;
        fill_turn(turn, calls, &rest);
        err_t rc =
            turn->count == 0
                ? err_set(&e, ERR_TOO_LARGE,
                          "a log segment has no room for this command: segment_bytes is too small")
                : storage_append_sync(store, turn, stamp(store), &index, &e);
        if (rc == ERR_OK)
            rc = storage_apply(store, turn, &e);
        if (rc == ERR_OK)
            take_results(turn, calls, rest);
        storage_turn_reset(turn);
        if (rc != ERR_OK) {
            end_calls(calls, rc, &e);
            break;
        }
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
