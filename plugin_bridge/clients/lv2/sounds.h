/* Which sounds a slot holds, as the requests that fetch them: by id, seed and profile, not by the slot's number. This
 * is what a project keeps, so that it sounds the same where the slots hold something else. */
#ifndef SPRESSO_SOUNDS_H
#define SPRESSO_SOUNDS_H

#include "player.h"

#include <stdbool.h>
#include <stddef.h>

#define SOUND_SIZE 256
#define SOUNDS_TEXT_SIZE (MAX_TAKES * SOUND_SIZE)

typedef struct {
    char targets[MAX_TAKES][SOUND_SIZE]; /* "/v1/sounds/ID/audio.wav?seed=..." */
    unsigned count;
    int slot; /* that held them; -1 if none did */
} SoundList;

/* The first `most` takes of the JSON that /v1/slots/N answers. False if it is not what the bridge sends. */
bool sounds_from_slot(const char *json, size_t length, unsigned most, SoundList *list);

/* One target a line. A project file comes from anywhere: whatever is no request for a sound is left out. */
void sounds_from_text(const char *text, size_t length, SoundList *list);

/* Writes up to SOUNDS_TEXT_SIZE bytes with the closing zero; returns the length without it. */
size_t sounds_to_text(const SoundList *list, char *text);

bool sounds_equal(const SoundList *one, const SoundList *other);

#endif
