/* libedit, tamed: Ctrl-C is a key while a line is read, TAB asks for completion. */
#include "editor.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_MAX = 2000, SHOWN_MAX = 120 };

struct editor {
    struct editor_config config;
    EditLine *el;
    History *history;
    char prompt[64];
    char *line;
    bool dropped;
};

static struct editor *of(EditLine *el)
{
    struct editor *ed = NULL;
    el_get(el, EL_CLIENTDATA, &ed);
    return ed;
}

static char *show_prompt(EditLine *el)
{
    return of(el)->prompt;
}

static unsigned char drop(EditLine *el, int key)
{
    (void)key;
    struct editor *ed = of(el);
    ed->dropped = true;
    fputs("^C\n", ed->config.out);
    fflush(ed->config.out);
    return CC_EOF; /* ends el_gets(); editor_read() knows better than to call it the end */
}

/* A character. Between the prompt and the first read the terminal still turns Ctrl-C into a signal: it is the same
 * key, a moment early. */
static int take_char(EditLine *el, wchar_t *ret)
{
    struct editor *ed = of(el);
    mbstate_t state = { 0 };
    struct pollfd in = { .fd = fileno(ed->config.in), .events = POLLIN };
    for (;;) {
        if (*ed->config.interrupted != 0) {
            *ed->config.interrupted = 0;
            *ret = L'\003';
            return 1;
        }
        int ready = poll(&in, 1, 100); /* a signal just before it is seen soon */
        char byte;
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t n = ready < 0 ? -1 : read(in.fd, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        size_t used = mbrtowc(ret, &byte, 1, &state);
        if (used == (size_t)-1) { /* what came before is no character; this byte may begin one */
            memset(&state, 0, sizeof state);
            used = mbrtowc(ret, &byte, 1, &state);
        }
        if (used == (size_t)-1)
            memset(&state, 0, sizeof state);
        else if (used != (size_t)-2)
            return 1;
    }
}

/* ---- Completion --------------------------------------------------------------------------------------------- */

static size_t common(char **words, size_t count)
{
    size_t n = strlen(words[0]);
    for (size_t i = 1; i < count; i++) {
        size_t k = 0;
        while (k < n && words[i][k] == words[0][k])
            k++;
        n = k;
    }
    while (n > 0 && ((unsigned char)words[0][n] & 0xc0) == 0x80)
        n--; /* never half a character */
    return n;
}

static void list(struct editor *ed, char **words, size_t count)
{
    size_t widest = 0, columns;
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
        widest = strlen(words[i]) > widest ? strlen(words[i]) : widest;
    columns = 78 / (widest + 2) > 0 ? 78 / (widest + 2) : 1;
    fputc('\n', ed->config.out);
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
        fprintf(ed->config.out, "%-*s%s", (int)widest + 2, words[i],
                (i + 1) % columns == 0 || i + 1 == count ? "\n" : "");
    if (count > SHOWN_MAX)
        fprintf(ed->config.out, "\n... %zu more\n", count - SHOWN_MAX);
    fflush(ed->config.out);
}

static unsigned char complete(EditLine *el, int key)
{
    (void)key;
    struct editor *ed = of(el);
    const LineInfo *at = el_line(el);
    size_t len = (size_t)(at->cursor - at->buffer), start = 0, count = 0;
    char *before = strndup(at->buffer, len);
    if (before == NULL || ed->config.complete == NULL) {
        free(before);
        return CC_ERROR;
    }
    char **words = ed->config.complete(ed->config.user, before, &start, &count);
    unsigned char answer = CC_ERROR;
    if (count > 0 && start <= len) {
        size_t typed = len - start, shared = common(words, count);
        char *more = shared > typed && strncmp(words[0], before + start, typed) == 0
                         ? strndup(words[0] + typed, shared - typed)
                         : NULL;
        if (more != NULL && el_insertstr(el, more) == 0) {
            answer = CC_REFRESH;
        } else if (count > 1) {
            list(ed, words, count);
            answer = CC_REDISPLAY;
        }
        free(more);
    }
    if (words != NULL)
        ed->config.words_free(words);
    free(before);
    return answer;
}

/* ---- History ------------------------------------------------------------------------------------------------ */

static void make_folders(const char *file)
{
    char *path = strdup(file);
    for (char *c = path != NULL ? strchr(path + 1, '/') : NULL; c != NULL; c = strchr(c + 1, '/')) {
        *c = '\0';
        (void)mkdir(path, 0700);
        *c = '/';
    }
    free(path);
}

static void open_history(struct editor *ed)
{
    HistEvent event;
    ed->history = history_init();
    if (ed->history == NULL)
        return;
    history(ed->history, &event, H_SETSIZE, HISTORY_MAX);
    history(ed->history, &event, H_SETUNIQUE, 1);
    if (ed->config.history != NULL)
        history(ed->history, &event, H_LOAD, ed->config.history);
    el_set(ed->el, EL_HIST, history, ed->history);
}

void editor_remember(struct editor *ed, const char *statement)
{
    HistEvent event;
    if (ed->history == NULL || statement[0] == '\0')
        return;
    history(ed->history, &event, H_ENTER, statement);
    if (ed->config.history == NULL)
        return;
    /* At once: a terminal that is closed ends the program without a word. */
    make_folders(ed->config.history);
    mode_t old = umask(077); /* statements may hold values */
    history(ed->history, &event, H_SAVE, ed->config.history);
    umask(old);
}

/* ---- The whole ---------------------------------------------------------------------------------------------- */

struct editor *editor_open(const struct editor_config *config)
{
    struct editor *ed = calloc(1, sizeof *ed);
    if (ed == NULL)
        return NULL;
    ed->config = *config;
    ed->el = el_init("flotilla", config->in, config->out, config->err);
    if (ed->el == NULL) {
        free(ed);
        return NULL;
    }
    el_set(ed->el, EL_CLIENTDATA, ed);
    el_set(ed->el, EL_PROMPT, show_prompt);
    el_set(ed->el, EL_EDITOR, "emacs");
    el_set(ed->el, EL_SIGNAL, 0);
    el_set(ed->el, EL_GETCFN, take_char);
    /* The wide form: libedit keeps copies of narrow names, and never frees them. */
    el_wset(ed->el, EL_ADDFN, L"console-drop", L"forget the line", drop);
    el_wset(ed->el, EL_ADDFN, L"console-complete", L"complete the word", complete);
    open_history(ed);
    el_source(ed->el, NULL); /* ~/.editrc */
    el_set(ed->el, EL_BIND, "^C", "console-drop", NULL);
    el_set(ed->el, EL_BIND, "^I", "console-complete", NULL);
    el_set(ed->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(ed->el, EL_SETTY, "-d", "-isig", NULL); /* while a line is read, Ctrl-C is a key */
    return ed;
}

enum editor_event editor_read(struct editor *ed, const char *prompt, const char **line)
{
    int len = 0;
    snprintf(ed->prompt, sizeof ed->prompt, "%s", prompt);
    ed->dropped = false;
    el_set(ed->el, EL_PREP_TERM, 1); /* before the prompt: whoever sees it may type */
    const char *text = el_gets(ed->el, &len);
    if (ed->dropped) {
        el_reset(ed->el);
        return EDITOR_DROPPED;
    }
    if (text == NULL || len <= 0) {
        fputc('\n', ed->config.out);
        return EDITOR_END;
    }
    free(ed->line);
    ed->line = strndup(text, (size_t)(text[len - 1] == '\n' ? len - 1 : len));
    *line = ed->line != NULL ? ed->line : "";
    return EDITOR_LINE;
}

void editor_close(struct editor *ed)
{
    if (ed == NULL)
        return;
    if (ed->history != NULL)
        history_end(ed->history);
    el_end(ed->el);
    free(ed->line);
    free(ed);
}
