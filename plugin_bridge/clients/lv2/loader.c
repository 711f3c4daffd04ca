#include "loader.h"

#include "wav.h"

#include <stdio.h>
#include <stdlib.h>

/* Three minutes of stereo at 96 kHz; and four of them. */
#define TAKE_LIMIT ((size_t)128 << 20)
#define BANK_LIMIT ((size_t)512 << 20)
#define SLOT_LIMIT ((size_t)1 << 20)

static Status of_fetch(FetchResult result)
{
    switch (result) {
    case FETCH_OK:
        return STATUS_READY;
    case FETCH_NO_BRIDGE:
        return STATUS_NO_BRIDGE;
    case FETCH_CANCELLED:
        return STATUS_CANCELLED;
    case FETCH_TOO_LARGE:
    case FETCH_NO_MEMORY:
        return STATUS_TOO_LARGE;
    case FETCH_SILENT:
    case FETCH_MALFORMED:
        break;
    }
    return STATUS_FAILED;
}

static Status of_http(int status, Status if_unknown)
{
    switch (status) {
    case 200:
        return STATUS_READY;
    case 401:
    case 403:
    case 421:
        return STATUS_REFUSED;
    case 404:
        return if_unknown;
    case 429:
    case 503:
        return STATUS_BUSY;
    default:
        return STATUS_FAILED;
    }
}

static Status get(const char *target, size_t limit, Status if_unknown, KeepGoing keep_going, void *context,
                  uint8_t **body, size_t *size)
{
    BridgeAddress address;
    HttpHead head;
    *body = NULL;
    if (!bridge_discover(&address))
        return STATUS_NO_BRIDGE;
    Status status = of_fetch(bridge_get(&address, target, limit, keep_going, context, &head, body, size));
    if (status == STATUS_READY)
        status = of_http(head.status, if_unknown);
    if (status != STATUS_READY) {
        free(*body);
        *body = NULL;
    }
    return status;
}

Status load_slot(int slot, unsigned most, KeepGoing keep_going, void *context, SoundList *list)
{
    char target[64];
    uint8_t *body;
    size_t size;
    (void)snprintf(target, sizeof target, "/v1/slots/%d", slot);
    Status status = get(target, SLOT_LIMIT, STATUS_EMPTY, keep_going, context, &body, &size);
    if (status != STATUS_READY)
        return status;
    bool understood = sounds_from_slot((const char *)body, size, most, list);
    free(body);
    list->slot = slot;
    return !understood ? STATUS_FAILED : list->count == 0 ? STATUS_EMPTY : STATUS_READY;
}

static size_t bank_bytes(const Bank *bank)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < bank->count; i++)
        bytes += (size_t)bank->takes[i].frames * bank->takes[i].channels * sizeof(float);
    return bytes;
}

static Status fetch_wav(const char *sound, uint32_t rate, KeepGoing keep_going, void *context, Wav *wav)
{
    /* As many channels as it has; more than a plugin has outputs are mixed down by the bridge. */
    static const char *const CHANNELS[] = {"keep", "2"};
    WavResult parsed = WAV_UNSUPPORTED;
    for (int i = 0; i < 2 && parsed == WAV_UNSUPPORTED; i++) {
        char target[SOUND_SIZE + 64];
        uint8_t *body;
        size_t size;
        (void)snprintf(target, sizeof target, "%s&bits=32f&rate=%u&ch=%s", sound, (unsigned)rate, CHANNELS[i]);
        Status status = get(target, TAKE_LIMIT, STATUS_MISSING, keep_going, context, &body, &size);
        if (status != STATUS_READY)
            return status;
        parsed = wav_parse(body, size, wav);
        free(body);
    }
    if (parsed == WAV_NO_MEMORY)
        return STATUS_TOO_LARGE;
    return parsed == WAV_OK && wav->rate == rate ? STATUS_READY : STATUS_FAILED;
}

Status load_take(const SoundList *list, uint32_t rate, KeepGoing keep_going, void *context, Bank *bank)
{
    Wav wav = {.samples = NULL};
    uint32_t n = bank->count;
    Status status = fetch_wav(list->targets[n], rate, keep_going, context, &wav);
    if (status == STATUS_READY && bank_bytes(bank) + (size_t)wav.frames * wav.channels * sizeof(float) > BANK_LIMIT)
        status = STATUS_TOO_LARGE;
    if (status != STATUS_READY) {
        free(wav.samples);
        return status;
    }
    bank->takes[n] = (Take){.samples = wav.samples, .frames = wav.frames, .channels = wav.channels};
    /* The audio thread may be playing the takes before this one already. */
    __atomic_store_n(&bank->count, n + 1, __ATOMIC_RELEASE);
    return STATUS_READY;
}

void bank_free(Bank *bank)
{
    if (bank == NULL)
        return;
    for (uint32_t i = 0; i < bank->count; i++)
        free(bank->takes[i].samples);
    free(bank);
}
