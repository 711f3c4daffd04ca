/* Gives what it reads to the parsers of the slot player, for tests that hold its answers against known ones.
 *
 *   parse fuzz SEED ROUNDS   mutates well-formed inputs; the sanitizers say what is wrong
 *   parse wav|head|slot|text|discovery < INPUT
 */
#include "bridge_http.h"
#include "sounds.h"
#include "wav.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 65536

typedef void (*Parser)(const uint8_t *bytes, size_t length, bool say);

static void parse_wav(const uint8_t *bytes, size_t length, bool say)
{
    Wav wav;
    WavResult result = wav_parse(bytes, length, &wav);
    double sum = 0;
    for (size_t i = 0; result == WAV_OK && i < (size_t)wav.frames * wav.channels; i++)
        sum += (double)wav.samples[i]; /* touches everything that it claims to have */
    if (say)
        printf("%d %u %u %u %.9g\n", (int)result, wav.frames, wav.channels, wav.rate, result == WAV_OK ? sum : 0.0);
    if (result == WAV_OK)
        free(wav.samples);
    else if (wav.samples != NULL)
        abort();
}

static void parse_head(const uint8_t *bytes, size_t length, bool say)
{
    HttpHead head = {0, 0};
    size_t end = http_head_length(bytes, length);
    bool good = end > 0 && http_parse_head(bytes, end, &head);
    if (good && (head.status < 100 || head.status > 999 || head.length < -1))
        abort();
    if (say)
        printf("%zu %d %d %lld\n", end, good, good ? head.status : 0, good ? (long long)head.length : -1);
}

static void print_sounds(const SoundList *list)
{
    for (unsigned i = 0; i < list->count; i++)
        printf("%s\n", list->targets[i]);
}

static void check_sounds(const SoundList *list)
{
    char text[SOUNDS_TEXT_SIZE];
    SoundList again;
    size_t length = sounds_to_text(list, text);
    if (length >= sizeof text || strlen(text) != length)
        abort();
    sounds_from_text(text, length, &again);
    if (!sounds_equal(list, &again))
        abort();
}

static void parse_slot(const uint8_t *bytes, size_t length, bool say)
{
    SoundList list;
    bool good = sounds_from_slot((const char *)bytes, length, MAX_TAKES, &list);
    check_sounds(&list);
    if (say) {
        printf("%d\n", good);
        print_sounds(&list);
    }
}

static void parse_text(const uint8_t *bytes, size_t length, bool say)
{
    SoundList list;
    sounds_from_text((const char *)bytes, length, &list);
    check_sounds(&list);
    if (say)
        print_sounds(&list);
}

static void parse_discovery(const uint8_t *bytes, size_t length, bool say)
{
    BridgeAddress address = {0, ""};
    bool good = bridge_parse_discovery((const char *)bytes, length, &address);
    if (good && (address.port < 1 || address.port > 65535 || strlen(address.token) >= sizeof address.token))
        abort();
    if (say)
        printf("%d %d %s\n", good, address.port, address.token);
}

static const struct {
    const char *name;
    Parser parser;
} PARSERS[] = {{"wav", parse_wav},
               {"head", parse_head},
               {"slot", parse_slot},
               {"text", parse_text},
               {"discovery", parse_discovery}};
#define PARSER_COUNT (sizeof PARSERS / sizeof *PARSERS)

static uint64_t state;

static uint32_t below(uint32_t bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) * bound >> 31);
}

/* Bytes changed, numbers made extreme, pieces cut out, doubled, moved. */
static size_t mutate(uint8_t *bytes, size_t length)
{
    static const uint32_t EXTREMES[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF8, 0xFFFF, 0x10000};
    for (uint32_t n = 1 + below(6); n > 0 && length > 0; n--) {
        uint32_t at = below((uint32_t)length), size = 1 + below((uint32_t)length - at);
        switch (below(5)) {
        case 0:
            bytes[at] = (uint8_t)below(256);
            break;
        case 1:
            if (length - at >= 4)
                memcpy(bytes + at, &EXTREMES[below(8)], 4);
            break;
        case 2:
            length = at;
            break;
        case 3:
            memmove(bytes + at, bytes + at + size, length - at - size);
            length -= size;
            break;
        default:
            if (length + size <= LARGEST) {
                memmove(bytes + at + size, bytes + at, length - at);
                length += size;
            }
        }
    }
    return length;
}

/* The files named on the command line, kind before name, are what is mutated. */
static int fuzz(int argc, char **argv)
{
    static uint8_t seeds[64][LARGEST];
    size_t lengths[64], kinds[64], count = 0;
    state = strtoull(argv[2], NULL, 10);
    for (int i = 4; i + 1 < argc && count < 64; i += 2) {
        FILE *file = fopen(argv[i + 1], "rb");
        if (file == NULL)
            return 2;
        lengths[count] = fread(seeds[count], 1, LARGEST / 2, file);
        fclose(file);
        for (kinds[count] = 0; kinds[count] < PARSER_COUNT; kinds[count]++)
            if (strcmp(PARSERS[kinds[count]].name, argv[i]) == 0)
                break;
        if (kinds[count++] == PARSER_COUNT)
            return 2;
    }
    unsigned long rounds = strtoul(argv[3], NULL, 10);
    for (unsigned long i = 0; count > 0 && i < rounds; i++) {
        size_t which = i % count;
        /* A block of exactly the input's size: whatever is read beyond it is seen. */
        uint8_t *scratch = malloc(LARGEST), *exact;
        memcpy(scratch, seeds[which], lengths[which]);
        size_t length = mutate(scratch, lengths[which]);
        exact = malloc(length > 0 ? length : 1);
        memcpy(exact, scratch, length);
        free(scratch);
        PARSERS[kinds[which]].parser(exact, length, false);
        free(exact);
    }
    printf("%lu\n", rounds);
    return count > 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "fuzz") == 0)
        return fuzz(argc, argv);
    static uint8_t input[1 << 20];
    size_t length = fread(input, 1, sizeof input, stdin);
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, input, length);
    int result = 2;
    for (size_t i = 0; argc == 2 && i < PARSER_COUNT; i++)
        if (strcmp(PARSERS[i].name, argv[1]) == 0) {
            PARSERS[i].parser(exact, length, true);
            result = 0;
        }
    free(exact);
    return result;
}
