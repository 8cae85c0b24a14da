/* Flotilla in one page: put, get, compare-and-swap and its conflict, a scan, timestamps.
 *
 *     cc quickstart.c $(pkg-config --cflags --libs flotilla) -o quickstart
 *     ./quickstart 127.0.0.1:7700 */
#include <flotilla/client.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS FLOTILLA_NAMESPACE

static struct flotilla_error error;

static void must(int code, const char *what)
{
    if (code == FLOTILLA_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, flotilla_code_name(code), error.message);
    exit(1);
}

int main(int argc, char **argv)
{
    struct flotilla_options options = { .size = sizeof options,
                                        .endpoint = argc > 1 ? argv[1] : NULL };
    struct flotilla *db;
    must(flotilla_open(&options, &db, &error), "open");

    /* Raw keys: the last write wins. */
    struct flotilla_bytes key = FLOTILLA_TEXT("greeting");
    struct flotilla_value value;
    must(flotilla_raw_put(db, NS, key, FLOTILLA_TEXT("hello"), &error), "put");
    must(flotilla_get(db, NS, key, &value, &error), "get");
    printf("greeting = %s\n", value.found ? (char *)value.data : "(nothing)");
    flotilla_value_free(&value);

    /* Versioned keys: a write names the version that it replaces. 0: there must be none. */
    struct flotilla_bytes seat = FLOTILLA_TEXT("seat/12A");
    uint64_t version = 0;
    must(flotilla_cas_get(db, NS, seat, &value, &error), "cas get");
    uint64_t seen = value.found ? value.version : 0;
    flotilla_value_free(&value);
    must(flotilla_cas_put(db, NS, seat, seen, FLOTILLA_TEXT("ada"), &version, NULL, &error), "cas");
    printf("seat/12A is ada's at version %" PRIu64 "\n", version);

    struct flotilla_value current;
    int code = flotilla_cas_put(db, NS, seat, seen, FLOTILLA_TEXT("bob"), NULL, &current, &error);
    if (code != FLOTILLA_CONFLICT) {
        fprintf(stderr, "bob got a seat that is taken: %s\n", flotilla_code_name(code));
        return 1;
    }
    printf("bob is too late: %s has it at version %" PRIu64 "\n", (char *)current.data,
           current.version);
    flotilla_value_free(&current);

    /* Keys are in the order of their bytes. */
    for (int i = 0; i < 5; i++) {
        char name[32], text[32];
        snprintf(name, sizeof name, "fruit/%d", i);
        snprintf(text, sizeof text, "number %d", i);
        must(flotilla_raw_put(db, NS, FLOTILLA_TEXT(name), FLOTILLA_TEXT(text), &error), "put");
    }
    struct flotilla_range range = { .start = FLOTILLA_TEXT("fruit/1"),
                                    .end = FLOTILLA_TEXT("fruit/4") };
    struct flotilla_scan *scan;
    struct flotilla_row row;
    must(flotilla_scan(db, NS, &range, &scan, &error), "scan");
    while (flotilla_scan_next(scan, &row, &error))
        printf("%.*s = %.*s\n", (int)row.key.len, (const char *)row.key.data, (int)row.value.len,
               (const char *)row.value.data);
    must(error.code, "scan");
    flotilla_scan_close(scan);

    uint64_t first;
    must(flotilla_get_tso(db, 2, &first, &error), "tso");
    printf("timestamps %" PRIu64 " and %" PRIu64 "\n", first, first + 1);

    flotilla_close(db);
    return 0;
}
