/* flotilla: the program. Everything is in run.c and below; here is what a process has only one of. */
#include <locale.h>
#include <stddef.h>

#include "cli.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static volatile sig_atomic_t *catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt }; /* no SA_RESTART: waiting ends */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    return &interrupted;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8"); /* the widths of what a table shows; numbers stay as in C */
    struct cli cli = {
        .in = stdin, .out = stdout, .err = stderr, .catch_interrupts = catch_interrupts
    };
    return cli_main(&cli, argc, argv);
}
