/* Addresses as text: "127.0.0.1:7001", "[::1]:7001", "unix:/path". */
#include "env/env_ops.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/un.h>

static bool parse_port(const char *text, uint16_t *ret)
{
    unsigned long port = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9' && port <= 65535; c++)
        port = port * 10 + (unsigned long)(*c - '0');
    if (c == text || *c != '\0' || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool parse_ip(const char *text, struct env_address *a)
{
    const char *begin = text, *colon = strrchr(text, ':');
    if (colon == NULL || !parse_port(colon + 1, &a->port))
        return false;
    size_t len = (size_t)(colon - begin);
    a->kind = ENV_ADDRESS_IP4;
    if (begin[0] == '[') {
        if (len < 3 || begin[len - 1] != ']')
            return false;
        a->kind = ENV_ADDRESS_IP6;
        begin++;
        len -= 2;
    }
    if (len >= sizeof a->host)
        return false;
    memcpy(a->host, begin, len);
    a->host[len] = '\0';
    uint8_t binary[sizeof(struct in6_addr)];
    return inet_pton(a->kind == ENV_ADDRESS_IP4 ? AF_INET : AF_INET6, a->host, binary) == 1;
}

err_t env_address_parse(const char *text, struct env_address *ret, struct err *e)
{
    struct env_address a = { .kind = ENV_ADDRESS_UNIX };
    if (strncmp(text, "unix:", 5) == 0) {
        size_t len = strlen(text + 5), max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
        if (len == 0 || len > max)
            return err_set(e, ERR_INVALID_ARGUMENT,
                           "a unix socket's path has 1 to %zu bytes, not %zu: \"%s\"", max, len,
                           text + 5);
        memcpy(a.host, text + 5, len + 1);
    } else if (!parse_ip(text, &a)) {
        return err_set(
            e, ERR_INVALID_ARGUMENT,
            "\"%s\" is no address: write 127.0.0.1:7001, [::1]:7001 or unix:/path/to/socket", text);
    }
    *ret = a;
    return ERR_OK;
}
