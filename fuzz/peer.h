/* One who connects through a simulated network, says all that it has to say, and keeps what it hears. */
#pragma once

#include "base/buf.h"
#include "env/env.h"

struct peer {
    struct buf out,
        in; /* `out` is filled by the owner before peer_connect(); both are freed by peer_free() */
    bool ended;  /* the other side has closed, or the connection broke */
    bool closed; /* the stream is gone: nothing will be called any more */
    struct env_stream *stream;
    struct env_connect connect;
    struct env_write write;
    uint8_t room[4096];
};

struct peer *peer_new(void);
void peer_connect(struct peer *p, struct env *env, const char *address);
/* After peer_connect(); `closed` follows when the world runs on. */
void peer_close(struct peer *p);
/* Once it is closed. */
void peer_free(struct peer *p);
