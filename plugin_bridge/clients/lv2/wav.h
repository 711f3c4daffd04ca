/* 32-bit float WAV as the bridge sends it with bits=32f. */
#ifndef SPRESSO_WAV_H
#define SPRESSO_WAV_H

#include <stddef.h>
#include <stdint.h>

typedef enum { WAV_OK, WAV_MALFORMED, WAV_UNSUPPORTED, WAV_NO_MEMORY } WavResult;

typedef struct {
    float *samples; /* interleaved, malloc'd */
    uint32_t frames;
    uint16_t channels; /* 1 or 2 */
    uint32_t rate;     /* Hz */
} Wav;

/* Reads nothing beyond `length`, whatever the chunks claim. Samples that are no number become silence: one of them
 * would stay in every filter after this plugin. WAV_UNSUPPORTED: well-formed, but not 1 or 2 channels of floats. */
WavResult wav_parse(const uint8_t *bytes, size_t length, Wav *wav);

#endif
