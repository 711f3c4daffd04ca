/* The LV2 side: ports, MIDI, the worker that loads, and the state that a project keeps.
 *
 * Who owns what. The audio thread owns the bank that sounds, and the one before it until its last voice has faded; the
 * worker frees both, because free() may wait. `sounds` is shared by the worker and the host's save and restore, under
 * `lock`; run() never takes it. Everything else that crosses threads is one word, read and written as an atom.
 */
#include "loader.h"
#include "player.h"
#include "sounds.h"

#include <lv2/atom/atom.h>
#include <lv2/atom/util.h>
#include <lv2/core/lv2.h>
#include <lv2/midi/midi.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPRESSO_URI "urn:spresso:slot"
#define SLOTS 128
#define RETRY_S 2  /* while something is wrong */
#define FOLLOW_S 5 /* while all is well: has the slot got other sounds? */
#define QUIET_S 3  /* without run(): the host is closing, or paused */

enum {
    PORT_MIDI,
    PORT_LEFT,
    PORT_RIGHT,
    PORT_SLOT,
    PORT_VARIATIONS,
    PORT_GAIN,
    PORT_VELOCITY,
    PORT_ORDER,
    PORT_RELOAD,
    PORT_STATUS,
    PORT_LOADED,
    PORT_LAST,
    PORT_COUNT
};

typedef struct {
    bool load; /* else only what is no longer needed is freed */
    unsigned generation, restores; /* of the plugin when this was wished for */
    int slot;
    unsigned most;
    bool kept; /* the sounds of the project, not what the slot holds now */
} Job;

typedef struct {
    void *ports[PORT_COUNT];
    const LV2_Worker_Schedule *schedule;
    LV2_URID midi_event, atom_string, atom_int, key_sounds, key_slot;
    uint32_t rate;

    /* Of the audio thread. */
    Player player;
    Bank *bank, *retiring;
    Job wish;
    bool loading;       /* a job is under way, for `loading_for` */
    unsigned loading_for;
    uint32_t wait; /* frames until the next one */
    bool reload_was_on;
    float gain;

    /* Of the worker. */
    pthread_mutex_t working; /* no host should run two jobs at once; one that does must not share a bank */
    SoundList loaded;        /* what is, or comes, into... */
    Bank *newest;            /* ...the bank that went to the audio thread last */

    /* Of the worker and the host's save() and restore(). */
    pthread_mutex_t lock;
    SoundList sounds;

    /* One word each, read and written as atoms. */
    Bank *fresh;         /* to run(): the next bank */
    Bank *retired;       /* from run(): silent, to be freed */
    unsigned generation; /* from run(): jobs of another one are no longer wanted */
    unsigned beats;      /* from run(): counted at its beginning and at its end, so odd inside of it */
    bool stopped;        /* from the host: nothing is wanted */
    bool done;           /* to run(): the job is over */
    int status;          /* to run() */
    int slot;            /* from run(): what the port says */
    bool kept;           /* from run(), restore(): it plays what the project had */
    int kept_slot;       /* from restore(): the slot that the project had */
    unsigned restores;   /* from restore(): how many there were; changed under `lock` */
} Plugin;

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)
#define TAKE_OUT(field) __atomic_exchange_n(&(field), NULL, __ATOMIC_ACQ_REL)

/* --- the worker ------------------------------------------------------------------------------------------------- */

typedef struct {
    Plugin *plugin;
    unsigned generation;
    unsigned beats;
    time_t alive; /* when run() was last seen [s] */
} Wish;

/* Hosts wait for their worker before they close, some without a word to the plugin: the only sign is that nothing runs. */
static bool is_running(Wish *wish)
{
    struct timespec now = {0, 0};
    unsigned beats = LOAD(wish->plugin->beats);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    /* Odd: a host that renders offline works inside of run(), however long that takes. */
    if (beats != wish->beats || beats % 2 == 1 || wish->alive == 0) {
        wish->beats = beats;
        wish->alive = now.tv_sec;
    }
    return now.tv_sec - wish->alive <= QUIET_S;
}

static bool still_wanted(void *context)
{
    Wish *wish = context;
    const Plugin *plugin = wish->plugin;
    return !LOAD(plugin->stopped) && LOAD(plugin->generation) == wish->generation && is_running(wish);
}

/* The sounds of the project, or what the slot holds now, which then becomes what the project keeps. */
static Status choose_sounds(Plugin *plugin, const Job *job, Wish *wish, SoundList *list)
{
    Status status = STATUS_READY;
    if (!job->kept)
        status = load_slot(job->slot, job->most, still_wanted, wish, list);
    pthread_mutex_lock(&plugin->lock);
    if (job->kept) {
        *list = plugin->sounds;
        if (list->count > job->most)
            list->count = job->most;
    } else if ((status == STATUS_READY || status == STATUS_EMPTY) && plugin->restores == job->restores) {
        plugin->sounds = *list;
    }
    pthread_mutex_unlock(&plugin->lock);
    return status;
}

/* Loads what is missing. The audio thread has the bank from the beginning: nobody waits for the last of many decodes,
 * and what failed on the way goes on where it stopped. */
static Status fill_bank(Plugin *plugin, const SoundList *list, Wish *wish)
{
    if (plugin->newest == NULL || !sounds_equal(&plugin->loaded, list)) {
        Bank *bank = calloc(1, sizeof *bank);
        if (bank == NULL)
            return STATUS_TOO_LARGE;
        plugin->newest = bank;
        /* What run() did not fetch yet, it never saw. */
        bank_free(__atomic_exchange_n(&plugin->fresh, bank, __ATOMIC_ACQ_REL));
    }
    plugin->loaded = *list;
    while (plugin->newest->count < list->count) {
        STORE(plugin->status, STATUS_LOADING);
        Status status = load_take(list, plugin->rate, still_wanted, wish, plugin->newest);
        if (status != STATUS_READY)
            return status;
    }
    return STATUS_READY;
}

static Status load(Plugin *plugin, const Job *job)
{
    static const SoundList NOTHING = {.slot = -1};
    Wish wish = {.plugin = plugin, .generation = job->generation};
    SoundList list;
    Status status = choose_sounds(plugin, job, &wish, &list);
    if (status == STATUS_READY)
        return fill_bank(plugin, &list, &wish);
    /* A bridge that went away takes no sounds with it; those of another slot would be the wrong ones. */
    if (status == STATUS_EMPTY || (status != STATUS_CANCELLED && plugin->loaded.slot != job->slot))
        (void)fill_bank(plugin, &NOTHING, &wish);
    return status;
}

static LV2_Worker_Status work(LV2_Handle handle, LV2_Worker_Respond_Function respond,
                              LV2_Worker_Respond_Handle respond_handle, uint32_t size, const void *data)
{
    Plugin *plugin = handle;
    Job job;
    /* Answers go through `fresh` and `done`: the host's way back may be full, and a lost answer would be a leak. */
    (void)respond;
    (void)respond_handle;
    if (size != sizeof job)
        return LV2_WORKER_ERR_UNKNOWN;
    memcpy(&job, data, sizeof job);
    pthread_mutex_lock(&plugin->working);
    bank_free(TAKE_OUT(plugin->retired));
    if (job.load) {
        Status status = load(plugin, &job);
        if (status != STATUS_CANCELLED)
            STORE(plugin->status, (int)status);
        STORE(plugin->done, true);
    }
    pthread_mutex_unlock(&plugin->working);
    return LV2_WORKER_SUCCESS;
}

static LV2_Worker_Status work_response(LV2_Handle handle, uint32_t size, const void *data)
{
    (void)handle;
    (void)size;
    (void)data;
    return LV2_WORKER_SUCCESS;
}

/* --- the audio thread ------------------------------------------------------------------------------------------- */

static float control(const Plugin *plugin, int port, float lowest, float highest)
{
    const float *value = plugin->ports[port];
    if (value == NULL || !(*value >= lowest)) /* what is no number is not greater either */
        return lowest;
    return *value > highest ? highest : *value;
}

static int whole_control(const Plugin *plugin, int port, int lowest, int highest)
{
    return (int)lrintf(control(plugin, port, (float)lowest, (float)highest));
}

static void tell(const Plugin *plugin, int port, int value)
{
    float *where = plugin->ports[port];
    if (where != NULL)
        *where = (float)value;
}

/* What the ports and a restored project ask for. The sounds of a project stay until another slot is chosen or "reload"
 * is pressed; a host sets the port to the project's own slot before or after it restores, so that one is no choice. */
static void follow_ports(Plugin *plugin)
{
    Job *wish = &plugin->wish;
    unsigned restores = LOAD(plugin->restores);
    int slot = whole_control(plugin, PORT_SLOT, 0, SLOTS - 1);
    unsigned most = (unsigned)whole_control(plugin, PORT_VARIATIONS, 1, MAX_TAKES);
    bool reload = control(plugin, PORT_RELOAD, 0, 1) > 0.5f, pressed = reload && !plugin->reload_was_on;
    bool restored = restores != wish->restores, other_slot = slot != wish->slot;
    plugin->reload_was_on = reload;
    if (!restored && !other_slot && !pressed && most == wish->most)
        return;
    bool kept = restored || (wish->kept && !pressed && (!other_slot || slot == LOAD(plugin->kept_slot)));
    *wish = (Job){true, wish->generation + 1, restores, slot, most, kept};
    plugin->wait = 0;
    STORE(plugin->generation, wish->generation);
    STORE(plugin->slot, slot);
    STORE(plugin->kept, kept);
}

static bool schedule(const Plugin *plugin, const Job *job)
{
    return plugin->schedule->schedule_work(plugin->schedule->handle, sizeof *job, job) == LV2_WORKER_SUCCESS;
}

/* One job at a time. Before it is scheduled everything is noted: a host that renders offline works at once, in here. */
static void ask_worker(Plugin *plugin, uint32_t frames)
{
    if (plugin->loading && LOAD(plugin->done)) {
        int status = LOAD(plugin->status);
        bool soon = status == STATUS_NO_BRIDGE || status == STATUS_EMPTY || status == STATUS_BUSY;
        plugin->loading = false;
        plugin->wait = plugin->loading_for == plugin->wish.generation ? plugin->rate * (soon ? RETRY_S : FOLLOW_S) : 0;
    }
    if (plugin->wait > frames) {
        plugin->wait -= frames;
    } else if (!plugin->loading && !(plugin->wish.kept && plugin->loading_for == plugin->wish.generation &&
                                     LOAD(plugin->status) == STATUS_READY)) {
        plugin->loading = true;
        plugin->loading_for = plugin->wish.generation;
        STORE(plugin->done, false);
        if (!schedule(plugin, &plugin->wish))
            plugin->loading = false;
    }
}

static void change_banks(Plugin *plugin)
{
    if (plugin->retiring != NULL && !player_uses(&plugin->player, plugin->retiring) && LOAD(plugin->retired) == NULL) {
        static const Job FREE = {.load = false};
        STORE(plugin->retired, plugin->retiring);
        plugin->retiring = NULL;
        (void)schedule(plugin, &FREE); /* where there is no room for it, the next job frees */
    }
    if (plugin->retiring == NULL && LOAD(plugin->fresh) != NULL) {
        plugin->retiring = plugin->bank;
        plugin->bank = TAKE_OUT(plugin->fresh);
        plugin->player.last = -1;
        player_silence(&plugin->player);
    }
}

static void handle_midi(Plugin *plugin, const uint8_t *message, uint32_t size)
{
    if (size < 3)
        return;
    switch (lv2_midi_message_type(message)) {
    case LV2_MIDI_MSG_NOTE_ON:
        if (message[2] > 0) {
            float velocity = (float)(message[2] & 127) / 127.0f, depth = control(plugin, PORT_VELOCITY, 0, 1);
            Order order = (Order)whole_control(plugin, PORT_ORDER, ORDER_SHUFFLED, ORDER_BY_NOTE);
            /* The square: 40 log10(velocity / 127) dB, as General MIDI has it. */
            float gain = 1.0f - depth + depth * velocity * velocity;
            (void)player_note(&plugin->player, plugin->bank, order, message[1] & 127, gain);
        }
        break;
    case LV2_MIDI_MSG_CONTROLLER:
        if (message[1] == LV2_MIDI_CTL_ALL_SOUNDS_OFF || message[1] == LV2_MIDI_CTL_ALL_NOTES_OFF)
            player_silence(&plugin->player);
        break;
    default:
        break; /* a note that ends changes nothing: these are one-shots */
    }
}

/* The gain of the port, reached by the end of this block: a jump would be heard. */
static void apply_gain(Plugin *plugin, float *left, float *right, uint32_t frames)
{
    float wanted = powf(10.0f, control(plugin, PORT_GAIN, -60, 24) / 20.0f), from = plugin->gain;
    if (from < 0) /* the first block */
        from = wanted;
    plugin->gain = wanted;
    for (uint32_t i = 0; i < frames; i++) {
        float gain = from == wanted ? wanted : from + (wanted - from) * (float)(i + 1) / (float)frames;
        left[i] *= gain;
        right[i] *= gain;
    }
}

static void run(LV2_Handle handle, uint32_t frames)
{
    Plugin *plugin = handle;
    const LV2_Atom_Sequence *midi = plugin->ports[PORT_MIDI];
    float *left = plugin->ports[PORT_LEFT], *right = plugin->ports[PORT_RIGHT];
    __atomic_add_fetch(&plugin->beats, 1, __ATOMIC_RELEASE);
    follow_ports(plugin);
    change_banks(plugin);
    ask_worker(plugin, frames);
    memset(left, 0, frames * sizeof *left);
    memset(right, 0, frames * sizeof *right);
    uint32_t at = 0;
    LV2_ATOM_SEQUENCE_FOREACH(midi, event)
    {
        if (event->body.type != plugin->midi_event)
            continue;
        int64_t when = event->time.frames;
        uint32_t until = when <= (int64_t)at ? at : when >= (int64_t)frames ? frames : (uint32_t)when;
        player_render(&plugin->player, left + at, right + at, until - at);
        at = until;
        handle_midi(plugin, (const uint8_t *)(event + 1), event->body.size);
    }
    player_render(&plugin->player, left + at, right + at, frames - at);
    apply_gain(plugin, left, right, frames);
    tell(plugin, PORT_STATUS, LOAD(plugin->status));
    tell(plugin, PORT_LOADED, plugin->bank != NULL ? (int)LOAD(plugin->bank->count) : 0);
    tell(plugin, PORT_LAST, plugin->player.last + 1);
    __atomic_add_fetch(&plugin->beats, 1, __ATOMIC_RELEASE);
}

/* --- the host's other calls ------------------------------------------------------------------------------------- */

static LV2_Handle instantiate(const LV2_Descriptor *descriptor, double rate, const char *path,
                              const LV2_Feature *const *features)
{
    const LV2_URID_Map *map = NULL;
    const LV2_Worker_Schedule *worker = NULL;
    (void)descriptor;
    (void)path;
    for (int i = 0; features != NULL && features[i] != NULL; i++) {
        if (strcmp(features[i]->URI, LV2_URID__map) == 0)
            map = features[i]->data;
        else if (strcmp(features[i]->URI, LV2_WORKER__schedule) == 0)
            worker = features[i]->data;
    }
    if (map == NULL || worker == NULL || !(rate >= 1.0 && rate <= 1e6))
        return NULL;
    Plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL)
        return NULL;
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    plugin->schedule = worker;
    plugin->midi_event = map->map(map->handle, LV2_MIDI__MidiEvent);
    plugin->atom_string = map->map(map->handle, LV2_ATOM__String);
    plugin->atom_int = map->map(map->handle, LV2_ATOM__Int);
    plugin->key_sounds = map->map(map->handle, SPRESSO_URI "#sounds");
    plugin->key_slot = map->map(map->handle, SPRESSO_URI "#inSlot");
    plugin->rate = (uint32_t)lrint(rate);
    plugin->gain = -1.0f;
    plugin->status = STATUS_LOADING;
    plugin->wish.slot = plugin->slot = plugin->kept_slot = plugin->sounds.slot = plugin->loaded.slot = -1;
    /* Two instances must not shuffle alike. */
    player_init(&plugin->player, rate, (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec ^ (uintptr_t)plugin);
    pthread_mutex_init(&plugin->working, NULL);
    pthread_mutex_init(&plugin->lock, NULL);
    return plugin;
}

static void connect_port(LV2_Handle handle, uint32_t port, void *data)
{
    Plugin *plugin = handle;
    if (port < PORT_COUNT)
        plugin->ports[port] = data;
}

static void activate(LV2_Handle handle)
{
    Plugin *plugin = handle;
    player_stop(&plugin->player);
    plugin->wait = 0;
    plugin->loading_for = 0; /* what was given up in deactivate() is asked for again */
    STORE(plugin->stopped, false);
}

static void deactivate(LV2_Handle handle)
{
    Plugin *plugin = handle;
    STORE(plugin->stopped, true); /* a worker that waits for a decode gives it up, so that closing is quick */
}

static void cleanup(LV2_Handle handle)
{
    Plugin *plugin = handle;
    bank_free(plugin->bank);
    bank_free(plugin->retiring);
    bank_free(plugin->retired);
    bank_free(plugin->fresh);
    pthread_mutex_destroy(&plugin->lock);
    pthread_mutex_destroy(&plugin->working);
    free(plugin);
}

static LV2_State_Status save(LV2_Handle handle, LV2_State_Store_Function store, LV2_State_Handle state, uint32_t flags,
                             const LV2_Feature *const *features)
{
    Plugin *plugin = handle;
    char text[SOUNDS_TEXT_SIZE];
    (void)flags;
    (void)features;
    pthread_mutex_lock(&plugin->lock);
    /* A slot that was chosen but never answered: its number is all there is to keep, and the port keeps it. */
    bool worth = plugin->sounds.count > 0 && (LOAD(plugin->kept) || plugin->sounds.slot == LOAD(plugin->slot));
    size_t length = sounds_to_text(&plugin->sounds, text);
    int32_t slot = plugin->sounds.slot;
    pthread_mutex_unlock(&plugin->lock);
    if (!worth)
        return LV2_STATE_SUCCESS;
    const uint32_t portable = LV2_STATE_IS_POD | LV2_STATE_IS_PORTABLE;
    LV2_State_Status status = store(state, plugin->key_sounds, text, length + 1, plugin->atom_string, portable);
    return status != LV2_STATE_SUCCESS
               ? status
               : store(state, plugin->key_slot, &slot, sizeof slot, plugin->atom_int, portable);
}

static LV2_State_Status restore(LV2_Handle handle, LV2_State_Retrieve_Function retrieve, LV2_State_Handle state,
                                uint32_t flags, const LV2_Feature *const *features)
{
    Plugin *plugin = handle;
    SoundList list;
    size_t size = 0;
    uint32_t type = 0, value_flags = 0;
    (void)flags;
    (void)features;
    const char *text = retrieve(state, plugin->key_sounds, &size, &type, &value_flags);
    if (text == NULL || type != plugin->atom_string)
        return LV2_STATE_SUCCESS; /* saved while the slot was empty */
    sounds_from_text(text, strnlen(text, size), &list);
    if (list.count == 0)
        return LV2_STATE_SUCCESS;
    const void *slot = retrieve(state, plugin->key_slot, &size, &type, &value_flags);
    if (slot != NULL && type == plugin->atom_int && size == sizeof(int32_t)) {
        int32_t number;
        memcpy(&number, slot, sizeof number);
        list.slot = number;
    }
    pthread_mutex_lock(&plugin->lock);
    plugin->sounds = list;
    STORE(plugin->kept_slot, list.slot);
    STORE(plugin->kept, true);
    STORE(plugin->restores, plugin->restores + 1);
    pthread_mutex_unlock(&plugin->lock);
    return LV2_STATE_SUCCESS;
}

static const void *extension_data(const char *uri)
{
    static const LV2_Worker_Interface WORKER = {work, work_response, NULL};
    static const LV2_State_Interface STATE = {save, restore};
    if (strcmp(uri, LV2_WORKER__interface) == 0)
        return &WORKER;
    if (strcmp(uri, LV2_STATE__interface) == 0)
        return &STATE;
    return NULL;
}

static const LV2_Descriptor DESCRIPTOR = {SPRESSO_URI, instantiate, connect_port, activate,
                                          run,         deactivate,  cleanup,      extension_data};

LV2_SYMBOL_EXPORT const LV2_Descriptor *lv2_descriptor(uint32_t index)
{
    return index == 0 ? &DESCRIPTOR : NULL;
}
