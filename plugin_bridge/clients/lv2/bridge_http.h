/* One GET from the bridge on this machine. Only ever called outside of the audio thread: everything here may wait. */
#ifndef SPRESSO_BRIDGE_HTTP_H
#define SPRESSO_BRIDGE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BRIDGE_HEAD_LIMIT 16384

typedef struct {
    int port;
    char token[129];
} BridgeAddress;

typedef enum {
    FETCH_OK,
    FETCH_NO_BRIDGE, /* no discovery file, or nobody listens: it is not started */
    FETCH_SILENT,    /* it stopped answering, or ended the body early: a decode that failed */
    FETCH_MALFORMED, /* what answered does not speak as the bridge does */
    FETCH_TOO_LARGE,
    FETCH_NO_MEMORY,
    FETCH_CANCELLED
} FetchResult;

typedef struct {
    int status;     /* of HTTP */
    int64_t length; /* Content-Length; -1 if the answer names none */
} HttpHead;

/* Asked while waiting, about ten times a second; false gives the request up. */
typedef bool (*KeepGoing)(void *context);

/* The file that a running bridge writes. SPRESSO_BRIDGE (the path of bridge.json) overrides where it is looked for. */
bool bridge_discover(BridgeAddress *address);

/* "PORT TOKEN\n", strictly: the token goes into a header, so nothing else may be in it. */
bool bridge_parse_discovery(const char *text, size_t length, BridgeAddress *address);

/* Length of the head with its empty line, 0 if it is not all there yet. */
size_t http_head_length(const uint8_t *bytes, size_t length);

/* Read a complete head; false where it is malformed or frames its body in a way that was not asked for. */
bool http_parse_head(const uint8_t *bytes, size_t length, HttpHead *head);

/* GET a target ("/v1/..."). With FETCH_OK *body is malloc'd, of *size bytes, whatever the status; else it is NULL. */
FetchResult bridge_get(const BridgeAddress *address, const char *target, size_t limit, KeepGoing keep_going,
                       void *context, HttpHead *head, uint8_t **body, size_t *size);

#endif
