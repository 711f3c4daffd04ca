#include "player.h"

#include <string.h>

#define FADE_S 0.005
#define MIDDLE_C 60

static uint64_t scrambled(uint64_t *state) /* splitmix64, Steele, Lea, Flood 2014 */
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* xoroshiro128+, Blackman and Vigna 2018; its upper half, because its lowest bits are the weakest. */
static uint32_t next_random(Player *player)
{
    uint64_t a = player->random[0], b = player->random[1], sum = a + b;
    b ^= a;
    player->random[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    player->random[1] = b << 37 | b >> 27;
    return (uint32_t)(sum >> 32);
}

/* 0 .. bound-1. The bias of the multiplication is below 2^-28 for the few variations there are. */
static uint32_t random_below(Player *player, uint32_t bound)
{
    return (uint32_t)((uint64_t)next_random(player) * bound >> 32);
}

void player_init(Player *player, double rate, uint64_t seed)
{
    memset(player, 0, sizeof *player);
    player->random[0] = scrambled(&seed);
    player->random[1] = scrambled(&seed);
    player->fade_frames = (uint32_t)(rate * FADE_S) + 1;
    player->last = -1;
}

uint32_t player_choose(Player *player, uint32_t count, Order order, int note)
{
    uint32_t last = (uint32_t)player->last;
    bool first = player->last < 0 || last >= count;
    if (order == ORDER_BY_NOTE) {
        int from = note - MIDDLE_C, n = (int)count;
        return (uint32_t)((from % n + n) % n);
    }
    if (order == ORDER_IN_TURN)
        return first ? 0 : (last + 1) % count;
    if (first || count == 1)
        return random_below(player, count);
    uint32_t chosen = random_below(player, count - 1);
    return chosen < last ? chosen : chosen + 1;
}

static void begin_fade(Player *player, Voice *voice)
{
    if (voice->bank != NULL && voice->fade == 0)
        voice->fade = player->fade_frames;
}

void player_stop(Player *player)
{
    for (int i = 0; i < MAX_VOICES; i++)
        player->voices[i].bank = NULL;
}

void player_silence(Player *player)
{
    for (int i = 0; i < MAX_VOICES; i++)
        begin_fade(player, &player->voices[i]);
}

/* A free voice. Where too many sound, the oldest begins to fade; where all are taken, the one that faded furthest goes. */
static Voice *claim_voice(Player *player)
{
    Voice *unused = NULL, *oldest = NULL, *softest = NULL;
    int sounding = 0;
    for (int i = 0; i < MAX_VOICES; i++) {
        Voice *voice = &player->voices[i];
        if (voice->bank == NULL) {
            unused = voice;
        } else if (voice->fade > 0) {
            if (softest == NULL || voice->fade < softest->fade)
                softest = voice;
        } else {
            sounding++;
            if (oldest == NULL || voice->started < oldest->started)
                oldest = voice;
        }
    }
    if (oldest != NULL && sounding >= MAX_VOICES - FADING_ROOM)
        begin_fade(player, oldest);
    return unused != NULL ? unused : softest; /* one of the two is there: sounding voices never take all */
}

int player_note(Player *player, const Bank *bank, Order order, int note, float gain)
{
    uint32_t count = bank != NULL ? __atomic_load_n(&bank->count, __ATOMIC_ACQUIRE) : 0;
    if (count == 0)
        return -1;
    uint32_t chosen = player_choose(player, count, order, note);
    Voice *voice = claim_voice(player);
    *voice = (Voice){.bank = bank, .take = &bank->takes[chosen], .gain = gain, .started = player->notes++};
    player->last = (int)chosen;
    return player->last;
}

bool player_uses(const Player *player, const Bank *bank)
{
    for (int i = 0; i < MAX_VOICES; i++)
        if (player->voices[i].bank == bank)
            return true;
    return false;
}

static void render_voice(Voice *voice, uint32_t fade_frames, float *left, float *right, uint32_t frames)
{
    const Take *take = voice->take;
    uint32_t remaining = take->frames - voice->at, count = frames < remaining ? frames : remaining;
    const float *from = take->samples + (size_t)voice->at * take->channels;
    uint32_t second = take->channels - 1;
    bool fading = voice->fade > 0;
    if (fading && voice->fade < count)
        count = voice->fade;
    for (uint32_t i = 0; i < count; i++) {
        float gain = fading ? voice->gain * (float)(voice->fade - i) / (float)fade_frames : voice->gain;
        left[i] += gain * from[0];
        right[i] += gain * from[second];
        from += take->channels;
    }
    voice->at += count;
    if (fading)
        voice->fade -= count;
    if (voice->at == take->frames || (fading && voice->fade == 0))
        voice->bank = NULL;
}

void player_render(Player *player, float *left, float *right, uint32_t frames)
{
    for (int i = 0; i < MAX_VOICES; i++)
        if (player->voices[i].bank != NULL)
            render_voice(&player->voices[i], player->fade_frames, left, right, frames);
}
