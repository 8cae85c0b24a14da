/* Loads many rows: batches of a hundred, eight of them on the wire at a time.
 *
 *     ./bulk_load 127.0.0.1:7700 100000
 *
 * A batch is one request and one log entry on the server, so its rows share one sync; and while one batch waits for
 * the disk, others travel. The rows are puts of fixed values, so a batch whose outcome is UNDETERMINED may simply be
 * sent again: twice is the same as once. (That is our knowledge, not the library's.) */
#include <flotilla/client.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 100, WINDOW = 8 };

struct load;

struct slot { /* one batch: filled, sent, answered, filled again */
    struct load *load;
    struct flotilla_batch *batch;
    bool in_flight, again;
};

struct load {
    struct flotilla *db;
    struct slot slots[WINDOW];
    unsigned long next, total, done;
    char failure[600];
};

static void answered(void *user, const struct flotilla_result *result)
{
    struct slot *slot = user;
    struct load *load = slot->load;
    slot->in_flight = false;
    slot->again = result->code == FLOTILLA_UNDETERMINED;
    if (result->code == FLOTILLA_OK)
        load->done += flotilla_batch_count(slot->batch);
    else if (!slot->again)
        snprintf(load->failure, sizeof load->failure, "%s: %s", flotilla_code_name(result->code),
                 result->message);
}

static int fill(struct slot *slot)
{
    struct load *load = slot->load;
    char key[32], value[64];
    flotilla_batch_clear(slot->batch);
    for (int i = 0; i < ROWS && load->next < load->total; i++, load->next++) {
        snprintf(key, sizeof key, "bulk/%010lu", load->next);
        snprintf(value, sizeof value, "row %lu of %lu", load->next, load->total);
        int code = flotilla_batch_put(slot->batch, FLOTILLA_NAMESPACE, FLOTILLA_TEXT(key),
                                      FLOTILLA_TEXT(value));
        if (code != FLOTILLA_OK)
            return code;
    }
    return FLOTILLA_OK;
}

static int send_slot(struct slot *slot, struct flotilla_error *error)
{
    struct flotilla_op op = { .kind = FLOTILLA_OP_BATCH,
                              .batch = slot->batch,
                              .timeout_ms = 60000 };
    int code = slot->again ? FLOTILLA_OK : fill(slot);
    if (code == FLOTILLA_OK)
        code = flotilla_submit(slot->load->db, &op, answered, slot, error);
    slot->in_flight = code == FLOTILLA_OK;
    slot->again = false;
    return code;
}

static int run(struct load *load, struct flotilla_error *error)
{
    do {
        for (int i = 0; i < WINDOW; i++) {
            struct slot *slot = &load->slots[i];
            if (slot->in_flight || (!slot->again && load->next == load->total))
                continue;
            int code = send_slot(slot, error);
            if (code != FLOTILLA_OK)
                return code;
        }
        flotilla_wait(load->db, -1);
    } while (load->failure[0] == '\0' && load->done < load->total);
    return FLOTILLA_OK;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bulk_load ENDPOINT ROWS\n");
        return 2;
    }
    struct flotilla_options options = { .size = sizeof options, .endpoint = argv[1] };
    struct flotilla_error error;
    struct load load = { .total = strtoul(argv[2], NULL, 10) };
    struct timespec from, to;
    if (flotilla_open(&options, &load.db, &error) != FLOTILLA_OK) {
        fprintf(stderr, "bulk_load: %s\n", error.message);
        return 1;
    }
    bool memory = true;
    for (int i = 0; i < WINDOW; i++) {
        load.slots[i] = (struct slot){ .load = &load, .batch = flotilla_batch_new() };
        memory = memory && load.slots[i].batch != NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    int code = memory && load.total > 0 ? run(&load, &error) : FLOTILLA_OK;
    clock_gettime(CLOCK_MONOTONIC, &to);
    flotilla_close(load.db); /* what is in flight ends here, before its batches do */
    for (int i = 0; i < WINDOW; i++)
        flotilla_batch_free(load.slots[i].batch);
    if (code != FLOTILLA_OK || load.failure[0] != '\0' || load.done < load.total) {
        fprintf(stderr, "bulk_load: after %lu rows: %s\n", load.done,
                code != FLOTILLA_OK ? error.message : load.failure);
        return 1;
    }
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    printf("%lu rows in %.2f s, %.0f rows a second\n", load.done, seconds,
           (double)load.done / seconds);
    return 0;
}
