/* Runs a fuzz target without libFuzzer: how gcc's presets see the corpus, and mutants of it.
 *
 *   fuzz_x PATH...      files and the files of folders, then mutants of them, as many as the environment says:
 *
 *   FUZZ_MUTANTS  how many (0)      FUZZ_WALK  so many times that (1)      FUZZ_SEED  their seed (1), or "random"
 *
 * A child runs the inputs and notes the number of each before it begins. When the child ends
 * otherwise than well, the parent makes that input again, prints it and keeps it as a file. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "fuzz.h"
#include "walk.h"

enum { INPUT_S = 60 }; /* one input takes milliseconds; this ends one that takes for ever */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t seed_of(void)
{
    const char *text = getenv("FUZZ_SEED");
    uint64_t seed = number_of("FUZZ_SEED", 1);
    if (text != NULL && strcmp(text, "random") == 0)
        FUZZ_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

static void run(const struct walk *w, uint64_t inputs, volatile uint64_t *at)
{
    for (uint64_t i = 0; i < inputs; i++) {
        struct bytes in = walk_input(w, i);
        *at = i;
        alarm(INPUT_S);
        LLVMFuzzerTestOneInput(in.data, in.len);
        free((void *)(uintptr_t)in.data);
    }
    alarm(0);
    *at = inputs;
}

/* A line that repeats the finding where only the log is left, and a file beside it. */
static void tell(const struct walk *w, uint64_t i, const char *program)
{
    char name[64], path[256];
    const char *base = strrchr(program, '/');
    struct bytes in = walk_input(w, i);
    struct buf text = { 0 };
    snprintf(path, sizeof path, "%s.finding", base != NULL ? base + 1 : program);
    FILE *f = fopen(path, "wb");
    if (f != NULL) {
        fwrite(in.data, 1, in.len, f);
        fclose(f);
    }
    FUZZ_CHECK(base64_encode(in, &text) == ERR_OK);
    printf("fuzz: FINDING: %s, kept as %s\nfuzz: again: base64 -d <<<'%.*s' >input; %s input\n",
           walk_name(w, i, name), path, (int)text.len, (const char *)text.data, program);
    buf_free(&text);
    free((void *)(uintptr_t)in.data);
}

int main(int argc, char **argv)
{
    uint64_t seed = seed_of();
    struct walk *w = walk_open(argv + 1, argc - 1, seed);
    uint64_t inputs = walk_files(w) + number_of("FUZZ_MUTANTS", 0) * number_of("FUZZ_WALK", 1);
    volatile uint64_t *at =
        mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_CHECK(at != MAP_FAILED);
    printf("fuzz: %zu files, %llu inputs, seed %llu\n", walk_files(w), (unsigned long long)inputs,
           (unsigned long long)seed);
    fflush(stdout);
    pid_t child = fork();
    FUZZ_CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(w, inputs, at);
        walk_free(w);
        exit(0);
    }
    int status;
    FUZZ_CHECK(waitpid(child, &status, 0) == child);
    if (status != 0 && *at < inputs)
        tell(w, *at, argv[0]);
    else if (status != 0)
        printf(
            "fuzz: FINDING: every input passed, the process did not: memory that is left behind?\n");
    walk_free(w);
    return status != 0;
}
