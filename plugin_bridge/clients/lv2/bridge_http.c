#include "bridge_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL /* macOS: SO_NOSIGPIPE instead */
#define MSG_NOSIGNAL 0
#endif

/* A decode of a long sound keeps the connection silent for a while; connecting to this machine never does. */
#define SLICE_MS 100
#define CONNECT_MS 2000
#define SILENCE_MS 30000

bool bridge_parse_discovery(const char *text, size_t length, BridgeAddress *address)
{
    size_t at = 0;
    long port = 0;
    while (at < length && at < 5 && text[at] >= '0' && text[at] <= '9')
        port = port * 10 + (text[at++] - '0');
    if (at == 0 || port < 1 || port > 65535 || at >= length || text[at++] != ' ')
        return false;
    size_t from = at;
    while (at < length && (strchr("-_.~+/=", text[at]) != NULL || (text[at] >= '0' && text[at] <= '9') ||
                           (text[at] >= 'A' && text[at] <= 'Z') || (text[at] >= 'a' && text[at] <= 'z')) &&
           text[at] != '\0')
        at++;
    size_t token = at - from;
    if (token == 0 || token >= sizeof address->token || at + 1 != length || text[at] != '\n')
        return false;
    address->port = (int)port;
    memcpy(address->token, text + from, token);
    address->token[token] = '\0';
    return true;
}

static bool discovery_path(char *path, size_t size)
{
    const char *named = getenv("SPRESSO_BRIDGE"), *home = getenv("HOME");
    int written = -1;
    if (named != NULL && *named != '\0') {
        size_t stem = strlen(named);
        const char *dot = strrchr(named, '.');
        if (dot != NULL && strchr(dot, '/') == NULL)
            stem = (size_t)(dot - named);
        if (stem < size)
            written = snprintf(path, size, "%.*s.txt", (int)stem, named);
    } else {
#ifdef __APPLE__
        if (home != NULL)
            written = snprintf(path, size, "%s/Library/Application Support/spresso/bridge.txt", home);
#else
        const char *state = getenv("XDG_STATE_HOME");
        if (state != NULL && *state != '\0')
            written = snprintf(path, size, "%s/spresso/bridge.txt", state);
        else if (home != NULL)
            written = snprintf(path, size, "%s/.local/state/spresso/bridge.txt", home);
#endif
    }
    return written > 0 && (size_t)written < size;
}

bool bridge_discover(BridgeAddress *address)
{
    char path[4096], text[256];
    if (!discovery_path(path, sizeof path))
        return false;
    /* Not blocking: a pipe that somebody put in its place must not hold the host's worker. */
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text);
    close(file);
    return length > 0 && bridge_parse_discovery(text, (size_t)length, address);
}

size_t http_head_length(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 4 <= length; i++)
        if (memcmp(bytes + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    return 0;
}

/* A number of at most 15 digits and nothing else; -1 else. */
static int64_t whole_number(const char *text, size_t length)
{
    int64_t value = 0;
    if (length == 0 || length > 15)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static bool is_field(const char *line, size_t name, const char *wanted)
{
    return strlen(wanted) == name && strncasecmp(line, wanted, name) == 0;
}

static bool take_field(const char *line, size_t length, HttpHead *head)
{
    const char *colon = memchr(line, ':', length);
    if (colon == NULL || colon == line)
        return false;
    size_t name = (size_t)(colon - line), from = name + 1, to = length;
    while (from < to && (line[from] == ' ' || line[from] == '\t'))
        from++;
    while (to > from && (line[to - 1] == ' ' || line[to - 1] == '\t'))
        to--;
    if (is_field(line, name, "content-length")) {
        int64_t number = whole_number(line + from, to - from);
        if (number < 0 || (head->length >= 0 && head->length != number))
            return false;
        head->length = number;
    } else if (is_field(line, name, "transfer-encoding")) {
        return false; /* HTTP/1.0 was asked for, which has none */
    }
    return true;
}

bool http_parse_head(const uint8_t *bytes, size_t length, HttpHead *head)
{
    const char *text = (const char *)bytes;
    *head = (HttpHead){.status = 0, .length = -1};
    if (length < 17 || length > BRIDGE_HEAD_LIMIT || memchr(text, '\0', length) != NULL)
        return false;
    if (memcmp(text, "HTTP/1.", 7) != 0 || (text[7] != '0' && text[7] != '1') || text[8] != ' ')
        return false;
    head->status = (int)whole_number(text + 9, 3);
    if (head->status < 100 || (text[12] != ' ' && text[12] != '\r'))
        return false;
    bool first = true;
    for (size_t at = 0; at + 2 <= length;) {
        size_t end = at;
        while (end + 2 <= length && memcmp(text + end, "\r\n", 2) != 0)
            end++;
        if (end + 2 > length)
            return false;
        if (end == at)
            return at + 2 == length;
        if (!first && !take_field(text + at, end - at, head))
            return false;
        first = false;
        at = end + 2;
    }
    return false;
}

/* Wait until the socket can be read or written. */
static FetchResult wait_for(int socket_fd, short events, int limit_ms, KeepGoing keep_going, void *context)
{
    for (int waited = 0; waited < limit_ms; waited += SLICE_MS) {
        struct pollfd poll_fd = {.fd = socket_fd, .events = events};
        if (keep_going != NULL && !keep_going(context))
            return FETCH_CANCELLED;
        int ready = poll(&poll_fd, 1, SLICE_MS);
        if (ready > 0)
            return FETCH_OK; /* an error shows at the next call on the socket */
        if (ready < 0 && errno != EINTR)
            return FETCH_SILENT;
    }
    return FETCH_SILENT;
}

static FetchResult connect_to(int port, KeepGoing keep_going, void *context, int *socket_fd)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made < 0)
        return FETCH_NO_BRIDGE;
    (void)fcntl(made, F_SETFD, FD_CLOEXEC);
    int flags = fcntl(made, F_GETFL);
    FetchResult result = FETCH_NO_BRIDGE;
    if (flags >= 0 && fcntl(made, F_SETFL, flags | O_NONBLOCK) == 0) {
#ifdef SO_NOSIGPIPE
        int on = 1;
        (void)setsockopt(made, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
        if (connect(made, (struct sockaddr *)&where, sizeof where) == 0) {
            result = FETCH_OK;
        } else if (errno == EINPROGRESS || errno == EINTR) {
            int error = 0;
            socklen_t size = sizeof error;
            result = wait_for(made, POLLOUT, CONNECT_MS, keep_going, context);
            if (result == FETCH_OK && (getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0))
                result = FETCH_NO_BRIDGE;
        }
    }
    if (result != FETCH_OK)
        close(made);
    else
        *socket_fd = made;
    return result;
}

static FetchResult send_all(int socket_fd, const char *bytes, size_t length, KeepGoing keep_going, void *context)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t now = send(socket_fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (now > 0) {
            sent += (size_t)now;
        } else if (now < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            FetchResult ready = wait_for(socket_fd, POLLOUT, CONNECT_MS, keep_going, context);
            if (ready != FETCH_OK)
                return ready;
        } else {
            return FETCH_SILENT;
        }
    }
    return FETCH_OK;
}

/* Up to `room` bytes; *got 0 is the end. */
static FetchResult receive(int socket_fd, uint8_t *into, size_t room, KeepGoing keep_going, void *context, size_t *got)
{
    for (;;) {
        ssize_t now = recv(socket_fd, into, room, 0);
        if (now >= 0) {
            *got = (size_t)now;
            /* A body that keeps coming never waits, and is given up all the same. */
            return keep_going != NULL && !keep_going(context) ? FETCH_CANCELLED : FETCH_OK;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return FETCH_SILENT;
        FetchResult ready = wait_for(socket_fd, POLLIN, SILENCE_MS, keep_going, context);
        if (ready != FETCH_OK)
            return ready;
    }
}

/* The body, of which `have` bytes came with the head. Its buffer is of the announced length, so a lie costs nothing. */
static FetchResult read_body(int socket_fd, const uint8_t *early, size_t have, size_t limit, const HttpHead *head,
                             KeepGoing keep_going, void *context, uint8_t **body, size_t *size)
{
    if (head->length < 0)
        return FETCH_MALFORMED; /* the bridge always says; without, a cut sound would pass for a whole one */
    if ((uint64_t)head->length > limit)
        return FETCH_TOO_LARGE;
    size_t length = (size_t)head->length, at = have < length ? have : length;
    uint8_t *buffer = malloc(length > 0 ? length : 1);
    if (buffer == NULL)
        return FETCH_NO_MEMORY;
    memcpy(buffer, early, at);
    FetchResult result = FETCH_OK;
    while (result == FETCH_OK && at < length) {
        size_t got = 0;
        result = receive(socket_fd, buffer + at, length - at, keep_going, context, &got);
        if (result == FETCH_OK && got == 0)
            result = FETCH_SILENT;
        at += got;
    }
    if (result != FETCH_OK) {
        free(buffer);
        return result;
    }
    *body = buffer;
    *size = length;
    return FETCH_OK;
}

static FetchResult read_answer(int socket_fd, size_t limit, KeepGoing keep_going, void *context, HttpHead *head,
                               uint8_t **body, size_t *size)
{
    uint8_t start[BRIDGE_HEAD_LIMIT];
    size_t have = 0, end = 0;
    while ((end = http_head_length(start, have)) == 0) {
        size_t got = 0;
        if (have == sizeof start)
            return FETCH_MALFORMED;
        FetchResult result = receive(socket_fd, start + have, sizeof start - have, keep_going, context, &got);
        if (result != FETCH_OK)
            return result;
        if (got == 0)
            return have == 0 ? FETCH_SILENT : FETCH_MALFORMED;
        have += got;
    }
    if (!http_parse_head(start, end, head))
        return FETCH_MALFORMED;
    return read_body(socket_fd, start + end, have - end, limit, head, keep_going, context, body, size);
}

FetchResult bridge_get(const BridgeAddress *address, const char *target, size_t limit, KeepGoing keep_going,
                       void *context, HttpHead *head, uint8_t **body, size_t *size)
{
    char request[1024];
    int socket_fd = -1;
    *body = NULL;
    *size = 0;
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n", target,
                          address->port, address->token);
    if (length <= 0 || (size_t)length >= sizeof request)
        return FETCH_MALFORMED;
    FetchResult result = connect_to(address->port, keep_going, context, &socket_fd);
    if (result != FETCH_OK)
        return result;
    result = send_all(socket_fd, request, (size_t)length, keep_going, context);
    if (result == FETCH_OK)
        result = read_answer(socket_fd, limit, keep_going, context, head, body, size);
    close(socket_fd);
    return result;
}
