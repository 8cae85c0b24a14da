/* Runs a fuzz target over files and folders of inputs, without libFuzzer: how gcc's presets see
 * the corpus. */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

static unsigned count;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "replay: no file %s\n", path);
        exit(1);
    }
    uint8_t *data = malloc(1 << 20);
    size_t len = fread(data, 1, 1 << 20, f);
    fclose(f);
    struct bytes exact = fuzz_copy(bytes_from(data, len));
    free(data);
    LLVMFuzzerTestOneInput(exact.data, exact.len);
    free((void *)(uintptr_t)exact.data);
    count++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir == NULL) {
            run_file(argv[i]);
            continue;
        }
        for (struct dirent *d; (d = readdir(dir)) != NULL;) {
            char path[1024];
            snprintf(path, sizeof path, "%s/%s", argv[i], d->d_name);
            if (d->d_name[0] != '.')
                run_file(path);
        }
        closedir(dir);
    }
    printf("%u inputs\n", count);
    return count == 0;
}
