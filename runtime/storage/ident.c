/* Reading and writing IDENT: see ident.h for the picture. */
#include "ident.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/crc32c.h"

enum { IDENT_MAX = 512 };

static size_t render(const struct storage_ident *ident, unsigned format, unsigned min_reader,
                     char *out)
{
    int n = snprintf(out, IDENT_MAX, "flotilla store\nformat %u\nmin_reader %u\ncluster ", format,
                     min_reader);
    for (int i = 0; i < STORAGE_CLUSTER_ID; i++)
        n += snprintf(out + n, (size_t)(IDENT_MAX - n), "%02x", ident->cluster_id[i]);
    n += snprintf(out + n, (size_t)(IDENT_MAX - n),
                  "\nstore %" PRIu64 "\nincarnation %016" PRIx64 "\n", ident->store_id,
                  ident->incarnation);
    n += snprintf(out + n, (size_t)(IDENT_MAX - n), "crc32c %08x\n",
                  crc32c(0, bytes_from(out, (size_t)n)));
    return (size_t)n;
}

err_t ident_write(struct env *env, const char *path, const struct storage_ident *ident,
                  struct err *e)
{
    char text[IDENT_MAX];
    size_t n = render(ident, IDENT_FORMAT, IDENT_READER, text);
    return env_write_file(env, path, bytes_from(text, n), e);
}

err_t ident_read(struct env *env, const char *path, struct storage_ident *ret, struct err *e)
{
    struct buf file = { 0 };
    err_t rc = env_read_file(env, path, IDENT_MAX, &file, e);
    if (rc != ERR_OK && rc != ERR_TOO_LARGE)
        return rc;
    char text[IDENT_MAX + 1] = "", again[IDENT_MAX], cluster[2 * STORAGE_CLUSTER_ID + 1];
    if (rc == ERR_OK && file.len > 0)
        memcpy(text, file.data, file.len);
    struct storage_ident ident = { 0 };
    unsigned format = 0, min_reader = 0;
    int found =
        sscanf(text,
               "flotilla store\nformat %u\nmin_reader %u\ncluster %32[0-9a-f]\nstore %" SCNu64
               "\nincarnation %" SCNx64 "\n",
               &format, &min_reader, cluster, &ident.store_id, &ident.incarnation);
    bool sound = found == 5 && strlen(cluster) == 2 * STORAGE_CLUSTER_ID;
    for (int i = 0; sound && i < STORAGE_CLUSTER_ID; i++)
        sound = sscanf(cluster + 2 * i, "%2hhx", &ident.cluster_id[i]) == 1;
    if (sound && min_reader <= IDENT_READER) {
        size_t n = render(&ident, format, min_reader, again);
        sound = bytes_equal(bytes_from(again, n), buf_bytes(&file));
    }
    buf_free(&file);
    if (!sound)
        return err_set(e, ERR_CORRUPTION, "\"%s\" is damaged: it is not what init writes", path);
    if (min_reader > IDENT_READER)
        return err_set(
            e, ERR_UPGRADE_REQUIRED,
            "\"%s\" asks for a program of reader version %u, this one has %u: start a newer "
            "flotilla",
            path, min_reader, (unsigned)IDENT_READER);
    *ret = ident;
    return ERR_OK;
}
