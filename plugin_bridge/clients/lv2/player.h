/* Plays the variations of a bank. Runs in the audio thread: no call here allocates, locks or waits. */
#ifndef SPRESSO_PLAYER_H
#define SPRESSO_PLAYER_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_TAKES 16
#define MAX_VOICES 32 /* sounding at once; the last few are room for those that fade out */
#define FADING_ROOM 8

typedef struct {
    float *samples; /* interleaved */
    uint32_t frames;
    uint32_t channels; /* 1 or 2 */
} Take;

/* What is loaded of a slot. The loader adds takes behind those that may sound already: `count` is read and written as
 * an atom, and what is counted never changes. */
typedef struct {
    Take takes[MAX_TAKES];
    uint32_t count;
} Bank;

typedef enum {
    ORDER_SHUFFLED, /* any but the last one */
    ORDER_IN_TURN,
    ORDER_BY_NOTE /* the note chooses: middle C is the first */
} Order;

typedef struct {
    const Bank *bank; /* NULL: the voice is free */
    const Take *take;
    uint32_t at; /* next frame */
    float gain;
    uint32_t fade; /* frames left to fade out; 0 while it sounds as it is */
    uint64_t started;
} Voice;

typedef struct {
    Voice voices[MAX_VOICES];
    uint64_t random[2];
    uint64_t notes; /* played so far */
    uint32_t fade_frames;
    int last; /* variation played last, -1 before the first */
} Player;

/* `seed`: any number, another one for another order. */
void player_init(Player *player, double rate, uint64_t seed);

/* The variation to play now, never the last one again where there is another. */
uint32_t player_choose(Player *player, uint32_t count, Order order, int note);

/* Start a variation of the bank; returns its number, or -1 if the bank is empty. */
int player_note(Player *player, const Bank *bank, Order order, int note, float gain);

/* Everything ends at once. */
void player_stop(Player *player);

/* Let everything end within a few milliseconds. */
void player_silence(Player *player);

bool player_uses(const Player *player, const Bank *bank);

/* Add what sounds to `frames` frames of left and right. */
void player_render(Player *player, float *left, float *right, uint32_t frames);

#endif
