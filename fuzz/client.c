/* The client library against a server that answers whatever the input says. The first byte
 * chooses:
 *
 *   1  hello is answered properly    2  the rest is a list of answers, framed and with right ids:
 *                                       request u8 (which one) | length u8 | body
 *
 * else it is the byte stream itself. Every operation ends exactly once, with a code that exists;
 * what a result shows is memory that is there. One listening socket serves all inputs. */
#include "flotilla/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/codec.h"
#include "fuzz.h"
#include "net/frame.h"
#include "net/method.h"

enum { OPS = 8, REQUESTS_MAX = 32 };

/* ---- The server ------------------------------------------------------------------------------ */

static char path[100];

static void remove_path(void)
{
    unlink(path);
}

static int listener(void)
{
    static int fd = -1;
    if (fd >= 0)
        return fd;
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.60s/flotilla-fuzz-%d.sock", tmp != NULL ? tmp : "/tmp",
             (int)getpid());
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, path, sizeof path);
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
               listen(fd, 8) == 0);
    atexit(remove_path);
    return fd;
}

struct server {
    int fd;
    struct buf in;
    struct {
        uint64_t id;
        uint16_t method;
    } requests[REQUESTS_MAX];
    size_t count; /* requests read, hello included */
};

static void send_all(struct server *s, struct bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(s->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has closed, or its buffer is full: the rest is lost */
        bytes = bytes_from(bytes.data + n, bytes.len - (size_t)n);
    }
}

static void answer(struct server *s, size_t request, struct bytes body)
{
    struct net_frame f = { .kind = NET_FRAME_RESPONSE,
                           .method = s->requests[request].method,
                           .request_id = s->requests[request].id,
                           .body = body };
    struct buf out = { 0 };
    FUZZ_CHECK(net_frame_append(&out, &f) == ERR_OK);
    send_all(s, buf_bytes(&out));
    buf_free(&out);
}

/* Reads what the client has sent: whole frames, whatever we answer. */
static void read_requests(struct server *s)
{
    for (;;) {
        uint8_t *to = buf_reserve(&s->in, 65536);
        FUZZ_CHECK(to != NULL);
        ssize_t n = recv(s->fd, to, 65536, MSG_DONTWAIT);
        if (n <= 0)
            break;
        s->in.len += (size_t)n;
    }
    struct net_frame f;
    size_t size;
    struct bytes in = buf_bytes(&s->in);
    err_t rc;
    while ((rc = net_frame_decode(in, NET_FRAME_MAX, &f, &size)) == ERR_OK) {
        if (f.kind == NET_FRAME_REQUEST && s->count < REQUESTS_MAX) {
            s->requests[s->count].id = f.request_id;
            s->requests[s->count++].method = f.method;
        }
        in = bytes_from(in.data + size, in.len - size);
    }
    FUZZ_CHECK(rc == ERR_SHORT);
    size_t used = s->in.len - in.len;
    memmove(s->in.data, s->in.data + used, in.len);
    s->in.len = in.len;
}

/* ---- The client ------------------------------------------------------------------------------ */

static volatile uint8_t sum; /* so that reading a result is not left out */

static void done(void *user, const struct flotilla_result *r)
{
    unsigned *times = user;
    ++*times;
    FUZZ_CHECK(r->code == 0 || err_is_wire((unsigned)r->code));
    FUZZ_CHECK(r->message != NULL && (r->code == 0 || strlen(r->message) > 0));
    FUZZ_CHECK(r->value.data != NULL || r->value.len == 0);
    for (size_t i = 0; i < r->value.len; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)r->value.data)[i]);
}

static struct flotilla *submit_all(unsigned times[OPS], struct flotilla_batch *batch)
{
    char endpoint[120];
    struct flotilla *db = NULL;
    struct flotilla_error e;
    snprintf(endpoint, sizeof endpoint, "unix:%s", path);
    struct flotilla_options options = { .size = sizeof options,
                                        .endpoint = endpoint,
                                        .lazy = true };
    FUZZ_CHECK(flotilla_open(&options, &db, &e) == 0);
    struct flotilla_bytes key = FLOTILLA_TEXT("k"), value = FLOTILLA_TEXT("v");
    FUZZ_CHECK(flotilla_batch_put(batch, 1, key, value) == 0);
    FUZZ_CHECK(flotilla_batch_cas_put(batch, 1, key, 3, value) == 0);
    for (unsigned i = 0; i < OPS; i++) {
        struct flotilla_op op = { .kind = (enum flotilla_op_kind)i,
                                  .ns = 1,
                                  .key = key,
                                  .value = value,
                                  .expected = 3,
                                  .conditional = true,
                                  .want_current = true,
                                  .batch = batch,
                                  .count = 3 };
        FUZZ_CHECK(flotilla_submit(db, &op, done, &times[i], &e) == 0);
    }
    return db;
}

static void look_at_batch(const struct flotilla_batch *batch)
{
    uint64_t version;
    for (size_t i = 0; i < 4; i++) {
        int code = flotilla_batch_result(batch, i, &version);
        FUZZ_CHECK(code == 0 || err_is_wire((unsigned)code));
    }
}

static void serve(struct flotilla *db, struct server *s, uint8_t how, struct bytes in)
{
    static const uint8_t welcome[] = { 0x0a, 0,    0x10, 1,  0x20, 7,    0x38, 0x80,
                                       0x80, 0x40, 0x40, 64, 0x48, 0xe0, 0xd4, 3 };
    struct bytes body;
    uint8_t which, len;
    read_requests(s);
    if (how & 1 && s->count > 0) {
        answer(s, 0, bytes_from(welcome, sizeof welcome));
        flotilla_process(db);
        flotilla_process(db);
        read_requests(s);
    }
    if (!(how & 2)) {
        send_all(s, in);
        return;
    }
    while (s->count > 0 && take_u8(&in, &which) && take_u8(&in, &len)) {
        bool whole = take_bytes(&in, len < in.len ? len : in.len, &body);
        FUZZ_CHECK(whole);
        answer(s, which % s->count, body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    unsigned times[OPS] = { 0 };
    int listening = listener();
    struct flotilla_batch *batch = flotilla_batch_new();
    struct flotilla *db = submit_all(times, batch);
    flotilla_process(db);
    struct server s = { .fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK) };
    FUZZ_CHECK(s.fd >= 0);
    flotilla_process(db);
    serve(db, &s, data[0], bytes_from(data + 1, len - 1));
    for (int i = 0; i < 4; i++)
        flotilla_process(db);
    shutdown(s.fd, SHUT_RDWR);
    close(s.fd);
    for (int i = 0; i < 2; i++)
        flotilla_process(db);
    flotilla_close(db);
    for (unsigned i = 0; i < OPS; i++)
        FUZZ_CHECK(times[i] == 1);
    look_at_batch(batch);
    flotilla_batch_free(batch);
    buf_free(&s.in);
    for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
        close(fd); /* a second try of the client */
    return 0;
}
