/* Namespaces, as applied. Readers of any thread look at a table that never changes; a command that
 * creates one makes the next table, which becomes visible when the engine has taken the batch.
 *
 *   current ──> { 1 default, 2 orders }        staged ──> { 1 default, 2 orders, 7 events }
 *
 * 1 "default" always is; 0 is the system's and no user's. Tables of the past are freed at close. */
#pragma once

#include "storage/store.h"

/* Replicated state: every replica refuses the same one. Old tables are kept, so it also bounds memory. */
enum { NAMESPACES_MAX = 1000 };

struct namespaces;

/* Loads what the engine holds. ERR_CORRUPTION. */
MUST_USE err_t namespaces_open(const struct engine_ops *ops, struct engine *engine,
                               struct namespaces **ret, struct err *e);
void namespaces_close(struct namespaces *all); /* NULL is welcome */

/* Any thread. */
void namespaces_each(const struct namespaces *all,
                     void (*each)(void *user, const struct storage_namespace *ns), void *user);
bool namespaces_exists(const struct namespaces *all, uint32_t id);
MUST_USE err_t namespaces_find(const struct namespaces *all, struct bytes name,
                               struct storage_namespace *ret);
uint32_t namespaces_next(const struct namespaces *all);

/* The applier alone. What is staged counts for it at once, for the others from publish on. */
bool namespaces_staged_exists(const struct namespaces *all, uint32_t id);
/* ERR_ALREADY_EXISTS: the id or the name; ERR_RESOURCE_EXHAUSTED: NAMESPACES_MAX; ERR_NOMEM. */
MUST_USE err_t namespaces_stage(struct namespaces *all, uint32_t id, struct bytes name,
                                struct bytes mode);
void namespaces_publish(struct namespaces *all);
