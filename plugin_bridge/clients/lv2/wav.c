#include "wav.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_FLOAT 3
#define FORMAT_EXTENSIBLE 0xFFFE

typedef struct {
    const uint8_t *bytes;
    size_t length;
} Span;

static uint16_t u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static float sample_at(const uint8_t *at)
{
    uint32_t bits = u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : 0.0f;
}

/* The first `fmt ` and the first `data` after it. */
static bool find_chunks(const uint8_t *bytes, size_t length, Span *format, Span *data)
{
    *format = *data = (Span){NULL, 0};
    for (size_t at = 12; length - at >= 8;) {
        size_t size = u32(bytes + at + 4), room = length - at - 8;
        if (size > room)
            return false;
        Span chunk = {bytes + at + 8, size};
        if (memcmp(bytes + at, "fmt ", 4) == 0 && format->bytes == NULL) {
            *format = chunk;
        } else if (memcmp(bytes + at, "data", 4) == 0) {
            *data = chunk;
            return format->bytes != NULL;
        }
        /* A chunk of odd length is followed by a byte that belongs to nobody. */
        if (size % 2 == 1 && size == room)
            return false;
        at += 8 + size + size % 2;
    }
    return false;
}

WavResult wav_parse(const uint8_t *bytes, size_t length, Wav *wav)
{
    Span format, data;
    *wav = (Wav){.samples = NULL};
    if (length < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        return WAV_MALFORMED;
    if (!find_chunks(bytes, length, &format, &data) || format.length < 16)
        return WAV_MALFORMED;
    uint16_t tag = u16(format.bytes), channels = u16(format.bytes + 2), bits = u16(format.bytes + 14);
    if (tag == FORMAT_EXTENSIBLE) {
        if (format.length < 40)
            return WAV_MALFORMED;
        tag = u16(format.bytes + 24); /* the first two bytes of the sub-format are what the tag would be */
    }
    if (tag != FORMAT_FLOAT || bits != 32 || channels < 1 || channels > 2)
        return WAV_UNSUPPORTED;
    if (u32(format.bytes + 4) == 0 || u16(format.bytes + 12) != channels * 4 || data.length % (channels * 4u) != 0)
        return WAV_MALFORMED;
    size_t count = data.length / 4;
    wav->samples = malloc((count > 0 ? count : 1) * sizeof *wav->samples);
    if (wav->samples == NULL)
        return WAV_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        wav->samples[i] = sample_at(data.bytes + 4 * i);
    wav->frames = (uint32_t)(count / channels);
    wav->channels = channels;
    wav->rate = u32(format.bytes + 4);
    return WAV_OK;
}
