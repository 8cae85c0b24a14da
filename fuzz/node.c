/* Requests to a whole node: on one machine a node over a simulated disk, on the other a peer.
 * The input is a list of
 *
 *     method u8 (an index into the table below) | length u8 | body
 *
 * Every request is answered once, by a message that is what its type says and that carries a
 * Status, whatever the body was; a body that the decoder refuses is refused. Afterwards a put is
 * found again by a get. */
#include "decode/decode.h"
#include "frames.h"
#include "fuzz.h"
#include "node/node.h"
#include "peer.h"
#include "proto/adminpb.pb-c.h"
#include "proto/kvrpc.pb-c.h"
#include "proto/pdpb.pb-c.h"
#include "sim_world/disk.h"
#include "sim_world/world.h"
#include "storage/engine_mem.h"

enum { REQUESTS_MAX = 16, MS = 1000000 };

struct method {
    uint16_t number;
    const ProtobufCMessageDescriptor *response;
};
#define METHOD(number, package, name)                                                              \
    {                                                                                              \
        number, &flotilla__##package##__##name##_response__descriptor                              \
    }
static const struct method methods[] = {
    METHOD(NET_RAW_PUT, kv, raw_put),
    METHOD(NET_RAW_GET, kv, raw_get),
    METHOD(NET_RAW_DELETE, kv, raw_delete),
    METHOD(NET_RAW_SCAN, kv, raw_scan),
    METHOD(NET_CAS, kv, cas),
    METHOD(NET_CAS_GET, kv, cas_get),
    METHOD(NET_CAS_DELETE, kv, cas_delete),
    METHOD(NET_CAS_SCAN, kv, cas_scan),
    METHOD(NET_BATCH, kv, batch),
    METHOD(NET_GET_TSO, pd, get_tso),
    METHOD(NET_GET_NAMESPACE, pd, get_namespace),
    METHOD(NET_LIST_NAMESPACES, pd, list_namespaces),
    METHOD(NET_CREATE_NAMESPACE, pd, create_namespace),
    METHOD(NET_ADMIN, admin, admin),
};
enum { METHODS = sizeof methods / sizeof *methods };

/* ---- What is asked --------------------------------------------------------------------------- */

struct asker {
    struct peer *peer;
    struct {
        const struct method *method;
        struct bytes body;
        unsigned answers;
    } requests[REQUESTS_MAX];
    uint64_t count;
};

static void ask(struct asker *a, const struct method *method, struct bytes body)
{
    if (a->count == REQUESTS_MAX)
        return;
    a->requests[a->count].method = method;
    a->requests[a->count].body = body;
    struct net_frame f = { .kind = NET_FRAME_REQUEST,
                           .method = method->number,
                           .request_id = 100 + a->count++,
                           .body = body };
    FUZZ_CHECK(net_frame_append(&a->peer->out, &f) == ERR_OK);
}

/* ---- What must hold -------------------------------------------------------------------------- */

/* Field 1 of every response is its Status; an absent one is OK. */
static unsigned code_of(const ProtobufCMessage *response)
{
    const Flotilla__Kv__RawPutResponse *first_field = (const void *)response;
    return first_field->status == NULL ? 0 : first_field->status->code;
}

static void check_answer(struct asker *a, const struct net_frame *f)
{
    if (f->request_id == FRAMES_HELLO_ID)
        return;
    FUZZ_CHECK(f->kind == NET_FRAME_RESPONSE);
    FUZZ_CHECK(f->request_id >= 100 && f->request_id < 100 + a->count);
    uint64_t i = f->request_id - 100;
    const struct method *method = a->requests[i].method;
    FUZZ_CHECK(a->requests[i].answers++ == 0 && f->method == method->number);
    struct arena arena;
    ProtobufCMessage *m = NULL;
    struct err e = { 0 };
    arena_init(&arena, 4 << 20, NULL, 0);
    if (decode_message(method->response, f->body, DECODE_LIMITS, &arena, &m, &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    unsigned code = code_of(m);
    FUZZ_CHECK(code == 0 || err_is_wire(code));
    FUZZ_CHECK(code != ERR_INTERNAL && code != ERR_DATA_LOSS);
    /* Bytes that are no message of any type are refused. (A known field with another wire type may
     * count as unknown, as other implementations have it; the commands of writes are stricter.) */
    struct decode_limits loose = { DECODE_DEPTH_MAX, UINT32_MAX, UINT32_MAX };
    if (decode_check(&flotilla__pd__list_namespaces_request__descriptor, a->requests[i].body, loose,
                     NULL) != ERR_OK)
        FUZZ_CHECK(code != 0);
    arena_free(&arena);
}

static uint64_t frames(struct bytes in)
{
    struct net_frame f;
    size_t size;
    uint64_t count = 0;
    for (; net_frame_decode(in, NET_FRAME_MAX, &f, &size) == ERR_OK; count++)
        in = bytes_from(in.data + size, in.len - size);
    return count;
}

static void check_answers(struct asker *a)
{
    struct bytes in = buf_bytes(&a->peer->in);
    while (in.len > 0) {
        struct net_frame f;
        size_t size;
        FUZZ_CHECK(net_frame_decode(in, NET_FRAME_MAX, &f, &size) == ERR_OK);
        check_answer(a, &f);
        in = bytes_from(in.data + size, in.len - size);
    }
    for (uint64_t i = 0; i < a->count; i++)
        FUZZ_CHECK(a->requests[i].answers == 1);
}

/* ---- The machine ----------------------------------------------------------------------------- */

static void stopped(void *user, enum node_exit code)
{
    (void)user, (void)code;
    FUZZ_CHECK(!"a request has stopped the node");
}

static void run_peer(struct sim_world *home, struct node *node, struct bytes in)
{
    static const uint8_t put[] = { 0x10, 1, 0x1a, 1, 'k', 0x22, 1, 'v' },
                         get[] = { 0x10, 1, 0x1a, 1, 'k' };
    struct peer *p = peer_new();
    struct asker a = { .peer = p };
    frames_hello(&p->out);
    uint8_t which, len;
    struct bytes body;
    while (a.count + 2 < REQUESTS_MAX && take_u8(&in, &which) && take_u8(&in, &len)) {
        bool whole = take_bytes(&in, len < in.len ? len : in.len, &body);
        FUZZ_CHECK(whole);
        ask(&a, &methods[which % METHODS], body);
    }
    ask(&a, &methods[0], bytes_from(put, sizeof put));
    ask(&a, &methods[1], bytes_from(get, sizeof get));
    peer_connect(p, sim_world_env(home), node_address(node));
    for (int i = 0; i < 200 && frames(buf_bytes(&p->in)) < 1 + a.count; i++)
        sim_world_run_for(home, 10 * MS);
    FUZZ_CHECK(!p->ended); /* the node has no reason to close */
    check_answers(&a);
    peer_close(p);
    while (!p->closed)
        sim_world_run_for(home, 10 * MS);
    peer_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err e = { 0 };
    struct node_config config;
    struct node *node = NULL;
    enum node_exit code;
    struct sim_disk *disk = sim_disk_new(1);
    struct sim_world *home = sim_world_new(1, NULL), *machine = sim_world_beside(home, disk);
    node_config_defaults(&config);
    snprintf(config.data_dir, sizeof config.data_dir, "/data");
    snprintf(config.address, sizeof config.address, "127.0.0.1:0");
    snprintf(config.console.address, sizeof config.console.address, "off");
    config.http.address[0] = '\0';
    config.storage.segment_bytes = 256 << 10;
    config.storage.spare_segments = 1;
    config.storage.ballast_bytes = 0;
    config.init.store_id = 1;
    struct node_options options = { .env = sim_world_env(machine),
                                    .engine = &engine_mem,
                                    .config = &config,
                                    .version = "0.1.0",
                                    .without_scripts = true,
                                    .stopped = stopped };
    FUZZ_CHECK(node_init(&options, &e) == ERR_OK);
    FUZZ_CHECK(node_open(&options, &node, &code, &e) == ERR_OK);
    run_peer(home, node, bytes_from(data, len));
    node_close(node);
    sim_world_close(machine);
    sim_world_close(home);
    sim_disk_free(disk);
    return 0;
}
