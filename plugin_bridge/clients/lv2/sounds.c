#include "sounds.h"

#include <string.h>

#define PREFIX "/v1/sounds/"
#define DEEPEST 32

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("-_.~/?&=%+,:", c) != NULL);
}

/* It becomes the first line of a request, so nothing may stand in it that ends the line or the path. */
static bool add_target(SoundList *list, const char *text, size_t length)
{
    size_t prefix = strlen(PREFIX);
    if (list->count == MAX_TAKES || length <= prefix || length >= SOUND_SIZE || memcmp(text, PREFIX, prefix) != 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_plain(text[i]) || (text[i] == '.' && i + 1 < length && text[i + 1] == '.'))
            return false;
    if (memchr(text, '?', length) == NULL)
        return false; /* what is appended to it begins with & */
    char *target = list->targets[list->count++];
    memcpy(target, text, length);
    target[length] = '\0';
    return true;
}

static size_t skip_space(const char *json, size_t length, size_t at)
{
    while (at < length && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

/* `at` is behind the opening quote; returns the place of the closing one, `length` where there is none. */
static size_t string_end(const char *json, size_t length, size_t at)
{
    while (at < length && json[at] != '"')
        at += json[at] == '\\' ? 2 : 1;
    return at < length ? at : length;
}

/* Not a JSON reader: it knows strings from everything else, which is enough to find every value of one key. Brackets
 * are counted, so that a cut answer is not taken for a whole one. */
bool sounds_from_slot(const char *json, size_t length, unsigned most, SoundList *list)
{
    static const char KEY[] = "audio_url";
    int depth = 0;
    bool is_value = false; /* of the key */
    *list = (SoundList){.count = 0, .slot = -1};
    size_t at = skip_space(json, length, 0);
    if (at == length || json[at] != '{')
        return false;
    do {
        if (json[at] == '"') {
            size_t from = at + 1, end = string_end(json, length, from);
            if (end == length)
                return false;
            size_t next = skip_space(json, length, end + 1);
            bool is_key = next < length && json[next] == ':';
            if (is_value && list->count < most && !add_target(list, json + from, end - from))
                return false;
            is_value = is_key && end - from == sizeof KEY - 1 && memcmp(json + from, KEY, sizeof KEY - 1) == 0;
            at = is_key ? next + 1 : next;
        } else {
            if (json[at] == '{' || json[at] == '[')
                depth++;
            else if (json[at] == '}' || json[at] == ']')
                depth--;
            is_value = false;
            at++;
        }
        at = skip_space(json, length, at);
    } while (at < length && depth > 0 && depth < DEEPEST);
    return depth == 0 && at == length;
}

void sounds_from_text(const char *text, size_t length, SoundList *list)
{
    *list = (SoundList){.count = 0, .slot = -1};
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line = end != NULL ? (size_t)(end - (text + at)) : length - at;
        (void)add_target(list, text + at, line);
        at += line + 1;
    }
}

size_t sounds_to_text(const SoundList *list, char *text)
{
    size_t at = 0;
    for (unsigned i = 0; i < list->count; i++) {
        size_t length = strlen(list->targets[i]);
        memcpy(text + at, list->targets[i], length);
        text[at + length] = '\n';
        at += length + 1;
    }
    text[at > 0 ? --at : 0] = '\0';
    return at;
}

bool sounds_equal(const SoundList *one, const SoundList *other)
{
    if (one->count != other->count)
        return false;
    for (unsigned i = 0; i < one->count; i++)
        if (strcmp(one->targets[i], other->targets[i]) != 0)
            return false;
    return true;
}
