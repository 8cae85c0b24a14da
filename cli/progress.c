/* A progress line. */
#include "progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

enum { EVERY_MS = 100, BAR_MAX = 30 };

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_begin(struct progress *p, FILE *err, uint64_t total)
{
    *p = (struct progress){ .err = err, .total = total, .began_ms = now_ms() };
    p->shown = isatty(fileno(err)) == 1;
}

static void left_text(uint64_t ms, char *out, size_t cap)
{
    uint64_t s = (ms + 999) / 1000;
    if (s < 3600)
        snprintf(out, cap, "%" PRIu64 ":%02" PRIu64 " left", s / 60, s % 60);
    else
        snprintf(out, cap, "%" PRIu64 " h %02" PRIu64 " min left", s / 3600, s / 60 % 60);
}

void progress_line(uint64_t bytes, uint64_t total, uint64_t rows, uint64_t elapsed_ms, int width,
                   char *out, size_t cap)
{
    char done[UNITS_TEXT_MAX], rest[40] = "", bar[BAR_MAX + 3] = "";
    units_about_bytes(bytes, done);
    uint64_t rate = elapsed_ms > 0 ? rows * 1000 / elapsed_ms : 0;
    if (total > 0 && bytes > 0) {
        uint64_t at = bytes < total ? bytes : total;
        if (elapsed_ms >= 500)
            left_text((uint64_t)((double)elapsed_ms * (double)(total - at) / (double)at), rest,
                      sizeof rest);
        size_t full = (size_t)((double)at / (double)total * BAR_MAX);
        bar[0] = '[';
        memset(bar + 1, ' ', BAR_MAX);
        memset(bar + 1, '#', full);
        memcpy(bar + 1 + BAR_MAX, "]", 2);
    }
    int n =
        snprintf(out, cap, "%s%s%" PRIu64 " rows  %s  %" PRIu64 " rows/s%s%s", bar,
                 bar[0] != '\0' ? " " : "", rows, done, rate, rest[0] != '\0' ? "  " : "", rest);
    if (width > 0 && n > width)
        out[width] = '\0';
}

void progress_update(struct progress *p, uint64_t bytes, uint64_t rows)
{
    uint64_t now = now_ms();
    if (!p->shown || now - p->last_ms < EVERY_MS)
        return;
    p->last_ms = now;
    struct winsize size = { 0 };
    char line[200];
    int width =
        ioctl(fileno(p->err), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    progress_line(bytes, p->total, rows, now - p->began_ms, width, line, sizeof line);
    fprintf(p->err, "\r\x1b[K%s", line);
    fflush(p->err);
}

uint64_t progress_end(struct progress *p)
{
    if (p->shown && p->last_ms != 0)
        fprintf(p->err, "\r\x1b[K");
    return now_ms() - p->began_ms;
}
