/* libflotilla in a libuv loop.
 *
 *     struct flotilla_uv *uv;
 *     flotilla_uv_start(loop, db, &uv);
 *     flotilla_uv_submit(uv, &op, done, user, &error);      (done runs in the loop)
 *     ...
 *     flotilla_uv_stop(uv, stopped, NULL);                  (the loop runs until `stopped`; then flotilla_close(db))
 *
 * All of it belongs to the loop's thread. The loop is kept alive while operations have no outcome, and not longer. */
#pragma once

#include <uv.h>

#include "flotilla/client.h"

#ifdef __cplusplus
extern "C" {
#endif

struct flotilla_uv;

/* Lets `loop` drive the handle, which should be opened with `lazy`: to connect would block the loop. 0, or an error of
 * libuv, and then nothing has changed. */
FLOTILLA_API int flotilla_uv_start(uv_loop_t *loop, struct flotilla *db, struct flotilla_uv **ret);
/* flotilla_submit(), and the loop looks at the handle in its next turn. `done` may submit more, also with this. */
FLOTILLA_API int flotilla_uv_submit(struct flotilla_uv *uv, const struct flotilla_op *op,
                                    flotilla_done *done, void *user, struct flotilla_error *error);
/* The loop looks at the handle in its next turn: after flotilla_submit() or flotilla_queue_submit(). */
FLOTILLA_API void flotilla_uv_wake(struct flotilla_uv *uv);
/* Takes the handle out of the loop. `stopped` (may be NULL) runs in the loop when `uv` is gone; the handle and what is
 * pending stay as they are. Not from a `done`. */
FLOTILLA_API void flotilla_uv_stop(struct flotilla_uv *uv, void (*stopped)(void *user), void *user);

#ifdef __cplusplus
}
#endif
