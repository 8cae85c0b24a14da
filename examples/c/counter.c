/* A counter that many processes may add to at once: read, add, swap; at a conflict begin again from what is there.
 *
 *     ./counter 127.0.0.1:7700 visits 100
 *
 * An UNDETERMINED write may or may not have happened. Adding again could count twice; so we look: every adder writes
 * its own tag beside the number, and finds it again if its write did happen. (If somebody has added since, the tag is
 * gone, and the answer stays open: then this program says so and stops. Exactly-once needs a request id.) */
#include <flotilla/client.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum outcome { ADDED, AGAIN, FAILED };

static enum outcome add_one(struct flotilla *db, struct flotilla_bytes key, unsigned long n,
                            struct flotilla_error *error)
{
    char text[64], tag[32];
    struct flotilla_value now, then;
    if (flotilla_cas_get(db, FLOTILLA_NAMESPACE, key, &now, error) != FLOTILLA_OK)
        return FAILED;
    unsigned long long count = now.found ? strtoull(now.data, NULL, 10) : 0;
    uint64_t expected = now.found ? now.version : 0;
    flotilla_value_free(&now);
    snprintf(tag, sizeof tag, "%d.%lu", (int)getpid(), n);
    snprintf(text, sizeof text, "%llu %s", count + 1, tag);
    int code = flotilla_cas_put(db, FLOTILLA_NAMESPACE, key, expected, FLOTILLA_TEXT(text), NULL,
                                NULL, error);
    if (code == FLOTILLA_OK)
        return ADDED;
    if (code == FLOTILLA_CONFLICT)
        return AGAIN;
    if (code != FLOTILLA_UNDETERMINED ||
        flotilla_cas_get(db, FLOTILLA_NAMESPACE, key, &then, error) != FLOTILLA_OK)
        return FAILED;
    bool ours = then.found && strcmp(then.data, text) == 0;
    bool untouched = expected == (then.found ? then.version : 0);
    flotilla_value_free(&then);
    return ours ? ADDED : untouched ? AGAIN : FAILED;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: counter ENDPOINT KEY TIMES\n");
        return 2;
    }
    struct flotilla_options options = { .size = sizeof options, .endpoint = argv[1] };
    struct flotilla_error error;
    struct flotilla *db;
    if (flotilla_open(&options, &db, &error) != FLOTILLA_OK) {
        fprintf(stderr, "counter: %s\n", error.message);
        return 1;
    }
    unsigned long times = strtoul(argv[3], NULL, 10), conflicts = 0;
    for (unsigned long n = 0; n < times;) {
        enum outcome outcome = add_one(db, FLOTILLA_TEXT(argv[2]), n, &error);
        if (outcome == FAILED) {
            fprintf(stderr, "counter: after %lu: %s\n", n, error.message);
            flotilla_close(db);
            return 1;
        }
        n += outcome == ADDED;
        conflicts += outcome == AGAIN;
    }
    struct flotilla_value value;
    if (flotilla_cas_get(db, FLOTILLA_NAMESPACE, FLOTILLA_TEXT(argv[2]), &value, &error) ==
            FLOTILLA_OK &&
        value.found)
        printf("%s = %llu after %lu conflicts\n", argv[2], strtoull(value.data, NULL, 10),
               conflicts);
    flotilla_value_free(&value);
    flotilla_close(db);
    return 0;
}
