/* Escaping, hex and base64 for arguments and tables. */
#include "text.h"

#include <stdlib.h>
#include <wchar.h>

#include "base/base64.h"
#include "base/hex.h"

enum { READ_STEP = 64 << 10, READ_MAX = 16 << 20 };

static void must(err_t rc)
{
    if (rc != ERR_OK) {
        fprintf(stderr, "flotilla: out of memory\n");
        exit(CLI_FAILED);
    }
}

bool text_coding(struct cli *cli, enum cli_coding *ret)
{
    bool hex = cli_given(cli, "hex") != NULL, base64 = cli_given(cli, "base64") != NULL;
    if (hex && base64) {
        cli_usage(cli, "--hex and --base64 exclude each other");
        return false;
    }
    *ret = hex ? CLI_HEX : base64 ? CLI_BASE64 : CLI_TEXT;
    return true;
}

bool text_parse(struct cli *cli, const char *what, const char *argument, enum cli_coding coding,
                struct buf *ret)
{
    *ret = (struct buf){ 0 };
    switch (coding) {
    case CLI_TEXT:
        must(buf_append(ret, BYTES(argument)));
        return true;
    case CLI_HEX:
        if (hex_decode(BYTES(argument), ret) == ERR_OK)
            return true;
        buf_free(ret);
        cli_usage(cli, "%s \"%s\" is not an even number of hexadecimal digits", what, argument);
        return false;
    case CLI_BASE64:
        if (base64_decode(BYTES(argument), ret) == ERR_OK)
            return true;
        buf_free(ret);
        cli_usage(cli, "%s \"%s\" is not base64 (RFC 4648, with its padding)", what, argument);
        return false;
    }
    return false;
}

bool text_parse_or_read(struct cli *cli, const char *what, const char *argument,
                        enum cli_coding coding, struct buf *ret)
{
    if (strcmp(argument, "-") != 0)
        return text_parse(cli, what, argument, coding, ret);
    *ret = (struct buf){ 0 };
    for (;;) {
        uint8_t *room = buf_reserve(ret, READ_STEP);
        must(room == NULL ? ERR_NOMEM : ERR_OK);
        size_t n = fread(room, 1, READ_STEP, cli->in);
        ret->len += n;
        if (n == 0)
            break;
        if (ret->len > READ_MAX) {
            cli_fail(cli, CLI_FAILED,
                     "%s on standard input is above 16 MiB, more than any server takes", what);
            buf_free(ret);
            return false;
        }
    }
    if (ferror(cli->in)) {
        cli_fail(cli, CLI_FAILED, "could not read %s from standard input", what);
        buf_free(ret);
        return false;
    }
    return true;
}

/* One character of UTF-8 that a terminal can show: its length in bytes and width in columns. 0: none. */
static size_t printable(struct bytes in, size_t at, int *width)
{
    mbstate_t state = { 0 };
    wchar_t wide;
    size_t n = mbrtowc(&wide, (const char *)in.data + at, in.len - at, &state);
    if (n == 0 || n == (size_t)-1 || n == (size_t)-2)
        return 0;
    *width = wcwidth(wide);
    return *width >= 0 ? n : 0;
}

void text_escape(struct bytes in, size_t max, struct buf *out)
{
    bool cut = max != 0 && in.len > max;
    size_t end = cut ? max : in.len;
    for (size_t i = 0; i < end;) {
        int width;
        size_t n = printable(in, i, &width);
        uint8_t c = in.data[i];
        if (c == '\\')
            must(buf_append(out, BYTES("\\\\")));
        else if (n > 0)
            must(buf_append(out, bytes_from(in.data + i, n)));
        else if (c == '\n' || c == '\t' || c == '\r')
            must(buf_append(out, BYTES(c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r")));
        else
            must(buf_printf(out, "\\x%02x", c));
        i += n > 0 ? n : 1;
    }
    if (cut)
        must(buf_printf(out, "... (%zu bytes)", in.len));
}

void text_encode(struct bytes in, enum cli_coding coding, struct buf *out)
{
    if (coding == CLI_HEX)
        must(hex_encode(in, out));
    else if (coding == CLI_BASE64)
        must(base64_encode(in, out));
    else
        text_escape(in, 0, out);
}

size_t text_width(struct bytes text)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.len;) {
        int width = 1;
        size_t n = printable(text, i, &width);
        columns += (size_t)width;
        i += n > 0 ? n : 1;
    }
    return columns;
}
