/* From a list of sounds to a bank of samples. Runs in the host's worker, never in the audio thread. */
#ifndef SPRESSO_LOADER_H
#define SPRESSO_LOADER_H

#include "bridge_http.h"
#include "player.h"
#include "sounds.h"

/* What the `status` port says; spresso.ttl names the numbers. */
typedef enum {
    STATUS_NO_BRIDGE = 0,
    STATUS_LOADING = 1,
    STATUS_READY = 2,
    STATUS_EMPTY = 3,     /* the slot holds nothing */
    STATUS_MISSING = 4,   /* a sound of the project is not in this catalog */
    STATUS_REFUSED = 5,   /* the token is not the bridge's */
    STATUS_BUSY = 6,      /* too much is waiting there */
    STATUS_FAILED = 7,    /* it could not decode, or answers what is not a sound */
    STATUS_TOO_LARGE = 8, /* more than a plugin should hold in memory */
    STATUS_CANCELLED = 9  /* another slot was wanted meanwhile; not seen at the port */
} Status;

/* What the slot holds now: its first `most` takes. */
Status load_slot(int slot, unsigned most, KeepGoing keep_going, void *context, SoundList *list);

/* Take number bank->count of the list, at the host's rate [Hz]; the bank then holds one more. */
Status load_take(const SoundList *list, uint32_t rate, KeepGoing keep_going, void *context, Bank *bank);

void bank_free(Bank *bank);

#endif
