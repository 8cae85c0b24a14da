/* /metrics, /healthz, /readyz over HTTP, in a thread of its own.
 *
 *   loop, once a second --publish--> snapshot (under a lock) <--read-- HTTP thread
 *
 * The thread never touches the node: a scrape, however slow, delays no request. /healthz fails
 * when the loop has not published for ten seconds. Loopback unless the config allows more. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "env/env.h"

struct node_http;

/* ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. Until the first publish /readyz says "starting". */
MUST_USE err_t node_http_open(struct env *env, const char *address, struct node_http **ret,
                              struct err *e);
/* "127.0.0.1:7780", with the real port. */
const char *node_http_address(const struct node_http *http);
/* Replaces the snapshot; `metrics` gets the old one's memory, empty, for the next time.
 * `not_ready`: reasons, a line each, or "" when ready. */
void node_http_publish(struct node_http *http, struct buf *metrics, const char *not_ready);
void node_http_close(struct node_http *http); /* NULL is welcome */
