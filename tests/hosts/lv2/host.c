/* A host for one plugin, driven by lines on stdin; answers every line with one line on stdout.
 *
 *   host PLUGIN.so RATE BLOCK RECORDING
 *
 *   set PORT VALUE | get PORT | note KEY VELOCITY [FRAME] | cc NUMBER VALUE | run BLOCKS | await STATUS LOADED SECONDS
 *   idle SECONDS | save FILE | restore FILE | deactivate | activate | quit
 *
 * Built with TRAP it ends with a message when the plugin allocates, locks or waits inside of run().
 */
#include <lv2/atom/atom.h>
#include <lv2/atom/util.h>
#include <lv2/core/lv2.h>
#include <lv2/midi/midi.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_BLOCK 4096
#define MAX_URIDS 64
#define JOBS 64
#define JOB_SIZE 128
#define PORTS 12
#define STATUS_PORT 9
#define LOADED_PORT 10

static __thread bool in_run = false;

#ifdef TRAP
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void forbid(const char *what)
{
    if (!in_run)
        return;
    in_run = false;
    fprintf(stderr, "run() called %s\n", what);
    _exit(70);
}

void *malloc(size_t size)
{
    forbid("malloc");
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    forbid("calloc");
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    forbid("realloc");
    return __libc_realloc(old, size);
}
void free(void *old)
{
    forbid("free");
    __libc_free(old);
}

#define TRAPPED(type, name, parameters, arguments)                    \
    type name parameters                                              \
    {                                                                 \
        static type(*real) parameters = NULL;                         \
        forbid(#name);                                                \
        if (real == NULL)                                             \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);       \
        return real arguments;                                        \
    }
TRAPPED(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
TRAPPED(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
TRAPPED(int, nanosleep, (const struct timespec *wanted, struct timespec *left), (wanted, left))
TRAPPED(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
TRAPPED(int, connect, (int fd, const struct sockaddr *where, socklen_t size), (fd, where, size))
TRAPPED(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
TRAPPED(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))
TRAPPED(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
TRAPPED(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
TRAPPED(int, close, (int fd), (fd))
#endif

/* --- features ---------------------------------------------------------------------------------------------------- */

static char *uris[MAX_URIDS];

static LV2_URID map_uri(LV2_URID_Map_Handle handle, const char *uri)
{
    (void)handle;
    for (LV2_URID i = 0; i < MAX_URIDS; i++) {
        if (uris[i] == NULL)
            uris[i] = strdup(uri);
        if (strcmp(uris[i], uri) == 0)
            return i + 1;
    }
    abort();
}

static LV2_Handle plugin;
static const LV2_Worker_Interface *worker;
static struct {
    uint32_t size;
    char data[JOB_SIZE];
} jobs[JOBS];
static unsigned jobs_in, jobs_out;
static sem_t jobs_ready;

static LV2_Worker_Status schedule_work(LV2_Worker_Schedule_Handle handle, uint32_t size, const void *data)
{
    (void)handle;
    unsigned in = jobs_in;
    if (size > JOB_SIZE || in - __atomic_load_n(&jobs_out, __ATOMIC_ACQUIRE) == JOBS)
        return LV2_WORKER_ERR_NO_SPACE;
    jobs[in % JOBS].size = size;
    memcpy(jobs[in % JOBS].data, data, size);
    __atomic_store_n(&jobs_in, in + 1, __ATOMIC_RELEASE);
    sem_post(&jobs_ready);
    return LV2_WORKER_SUCCESS;
}

static LV2_Worker_Status respond(LV2_Worker_Respond_Handle handle, uint32_t size, const void *data)
{
    (void)handle;
    (void)size;
    (void)data;
    return LV2_WORKER_ERR_NO_SPACE; /* the plugin may not depend on it */
}

static void *work_on(void *unused)
{
    for (;;) {
        sem_wait(&jobs_ready);
        unsigned out = jobs_out;
        if (out == __atomic_load_n(&jobs_in, __ATOMIC_ACQUIRE))
            return unused; /* woken without a job: the end */
        worker->work(plugin, respond, NULL, jobs[out % JOBS].size, jobs[out % JOBS].data);
        __atomic_store_n(&jobs_out, out + 1, __ATOMIC_RELEASE);
    }
}

/* --- state: one line a property: key, type, flags, hex -------------------------------------------------------------- */

static LV2_State_Status store(LV2_State_Handle handle, uint32_t key, const void *value, size_t size, uint32_t type,
                              uint32_t flags)
{
    fprintf(handle, "%s %s %u ", uris[key - 1], uris[type - 1], (unsigned)flags);
    for (size_t i = 0; i < size; i++)
        fprintf(handle, "%02x", ((const unsigned char *)value)[i]);
    fputc('\n', handle);
    return LV2_STATE_SUCCESS;
}

static const void *retrieve(LV2_State_Handle handle, uint32_t key, size_t *size, uint32_t *type, uint32_t *flags)
{
    static char line[65536];
    static unsigned char value[32768];
    rewind(handle);
    while (fgets(line, sizeof line, handle) != NULL) {
        char *name = strtok(line, " "), *kind = strtok(NULL, " "), *flag = strtok(NULL, " "), *hex = strtok(NULL, "\n");
        if (hex == NULL || strcmp(name, uris[key - 1]) != 0)
            continue;
        *size = strlen(hex) / 2;
        for (size_t i = 0; i < *size; i++) {
            unsigned byte;
            sscanf(hex + 2 * i, "%2x", &byte);
            value[i] = (unsigned char)byte;
        }
        *type = map_uri(NULL, kind);
        *flags = (uint32_t)atoi(flag);
        return value;
    }
    return NULL;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

static const LV2_Descriptor *descriptor;
static float controls[PORTS], left[MAX_BLOCK], right[MAX_BLOCK];
static uint32_t block;
static FILE *recording;
static LV2_URID midi_event;
static union {
    LV2_Atom_Sequence sequence;
    uint8_t bytes[8192];
} midi;

static void clear_midi(void)
{
    midi.sequence.atom.type = map_uri(NULL, LV2_ATOM__Sequence);
    midi.sequence.atom.size = sizeof(LV2_Atom_Sequence_Body);
    midi.sequence.body.unit = midi.sequence.body.pad = 0;
}

static void add_midi(int frame, int a, int b, int c)
{
    struct {
        LV2_Atom_Event event;
        uint8_t message[3];
    } made = {{{frame}, {3, midi_event}}, {(uint8_t)a, (uint8_t)b, (uint8_t)c}};
    lv2_atom_sequence_append_event(&midi.sequence, sizeof midi.bytes - sizeof(LV2_Atom), &made.event);
}

static void run_block(bool record)
{
    in_run = true;
    descriptor->run(plugin, block);
    in_run = false;
    clear_midi();
    for (uint32_t i = 0; record && i < block; i++) {
        float frame[2] = {left[i], right[i]};
        fwrite(frame, sizeof frame, 1, recording);
    }
}

/* Blocks until the ports say so; not in real time, but never faster than ten times that. */
static bool await(int status, int loaded, double seconds)
{
    const struct timespec pause = {0, 1000000};
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        run_block(false);
        if ((int)controls[STATUS_PORT] == status && (int)controls[LOADED_PORT] == loaded)
            return true;
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + 1e-9 * (double)(now.tv_nsec - begin.tv_nsec) < seconds);
    return false;
}

/* Waits for the worker without running, as a host that closes does. */
static bool idle(double seconds)
{
    for (double waited = 0; waited < seconds; waited += 0.01) {
        if (__atomic_load_n(&jobs_out, __ATOMIC_ACQUIRE) == jobs_in)
            return true;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return false;
}

static bool obey(char *line)
{
    const LV2_State_Interface *state = descriptor->extension_data(LV2_STATE__interface);
    char name[4096];
    int a, b, c = 0;
    float value;
    double seconds;
    if (sscanf(line, "set %d %f", &a, &value) == 2 && a >= 0 && a < PORTS) {
        controls[a] = value;
    } else if (sscanf(line, "get %d", &a) == 1 && a >= 0 && a < PORTS) {
        printf("%g\n", (double)controls[a]);
        return true;
    } else if (sscanf(line, "note %d %d %d", &a, &b, &c) >= 2) {
        add_midi(c, LV2_MIDI_MSG_NOTE_ON, a, b);
    } else if (sscanf(line, "cc %d %d", &a, &b) == 2) {
        add_midi(0, LV2_MIDI_MSG_CONTROLLER, a, b);
    } else if (sscanf(line, "run %d", &a) == 1) {
        while (a-- > 0)
            run_block(true);
        fflush(recording);
    } else if (sscanf(line, "await %d %d %lf", &a, &b, &seconds) == 3) {
        bool there = await(a, b, seconds);
        printf("%s %g %g\n", there ? "ok" : "late", (double)controls[STATUS_PORT], (double)controls[LOADED_PORT]);
        return true;
    } else if (sscanf(line, "idle %lf", &seconds) == 1) {
        printf("%s\n", idle(seconds) ? "ok" : "late");
        return true;
    } else if (sscanf(line, "save %4095s", name) == 1) {
        FILE *file = fopen(name, "w");
        state->save(plugin, store, file, LV2_STATE_IS_POD | LV2_STATE_IS_PORTABLE, NULL);
        fclose(file);
    } else if (sscanf(line, "restore %4095s", name) == 1) {
        FILE *file = fopen(name, "r");
        state->restore(plugin, retrieve, file, 0, NULL);
        fclose(file);
    } else if (strcmp(line, "deactivate\n") == 0) {
        descriptor->deactivate(plugin);
    } else if (strcmp(line, "activate\n") == 0) {
        descriptor->activate(plugin);
    } else {
        return false;
    }
    printf("ok\n");
    return true;
}

int main(int argc, char **argv)
{
    static LV2_URID_Map map = {NULL, map_uri};
    static LV2_Worker_Schedule schedule = {NULL, schedule_work};
    static const LV2_Feature map_feature = {LV2_URID__map, &map}, work_feature = {LV2_WORKER__schedule, &schedule};
    static const LV2_Feature *const features[] = {&map_feature, &work_feature, NULL};
    static const LV2_Feature *const none[] = {NULL};
    static const float defaults[PORTS] = {0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0};
    char line[8192];
    if (argc != 5)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    recording = fopen(argv[4], "wb");
    block = (uint32_t)atoi(argv[3]);
    if (library == NULL || recording == NULL || block == 0 || block > MAX_BLOCK) {
        fprintf(stderr, "cannot start: %s\n", library == NULL ? dlerror() : "recording or block");
        return 2;
    }
    LV2_Descriptor_Function function;
    *(void **)&function = dlsym(library, "lv2_descriptor");
    descriptor = function(0);
    if (function(1) != NULL || descriptor->instantiate(descriptor, atof(argv[2]), "", none) != NULL) {
        fprintf(stderr, "it started without the features that it requires\n");
        return 2;
    }
    plugin = descriptor->instantiate(descriptor, atof(argv[2]), "", features);
    worker = descriptor->extension_data(LV2_WORKER__interface);
    midi_event = map_uri(NULL, LV2_MIDI__MidiEvent);
    clear_midi();
    memcpy(controls, defaults, sizeof controls);
    for (uint32_t i = 0; i < PORTS; i++)
        descriptor->connect_port(plugin, i,
                                 i == 0   ? (void *)&midi
                                 : i == 1 ? (void *)left
                                 : i == 2 ? (void *)right
                                          : (void *)&controls[i]);
    pthread_t thread;
    sem_init(&jobs_ready, 0, 0);
    pthread_create(&thread, NULL, work_on, NULL);
    descriptor->activate(plugin);
    run_block(false); /* sees to it that everything is linked before run() is watched */
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
        if (!obey(line))
            printf("not understood\n");
        fflush(stdout);
    }
    descriptor->deactivate(plugin);
    while (__atomic_load_n(&jobs_out, __ATOMIC_ACQUIRE) != jobs_in)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    sem_post(&jobs_ready);
    pthread_join(thread, NULL);
    descriptor->cleanup(plugin);
    fclose(recording);
    for (int i = 0; i < MAX_URIDS; i++)
        free(uris[i]);
    return 0;
}
