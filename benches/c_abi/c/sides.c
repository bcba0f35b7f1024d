/* The C sides of the benchmark c_abi: each role as an application would write it.
 *
 *   sides MODE bulk-receive                 prints `ready ADDRESS`
 *   sides MODE bulk-send ADDRESS MIB        prints `SECONDS`, from the first byte to the last taken
 *   sides MODE echo-serve                   records of 64 B come back
 *   sides MODE echo-call ADDRESS SECONDS    prints the median round trip, µs
 *   sides MODE node-serve                   each record asks for a block of 4 KiB
 *   sides MODE calls KIND COUNT             COUNT times one call, for counting instructions:
 *                                           none, version, offsets, receive, poll, send
 *
 * MODE is `threads` or `caller`.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <ringway.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 256 << 10, MESSAGE = 64, BLOCK = 4096 };

static ringway_engine *engine;
static int epoll_fd;
static ringway_event events[256];
static int event_count, event_at;

static void check(const char *what, int64_t code)
{
    if (code >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, ringway_strerror((int)code));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static ringway_engine *start(uint32_t mode)
{
    ringway_config config;
    ringway_error error;
    ringway_engine *started = NULL;
    memset(&config, 0, sizeof config);
    memset(&error, 0, sizeof error);
    config.struct_size = sizeof config;
    error.struct_size = sizeof error;
    config.loop_mode = mode;
    config.shards = 1;
    if (ringway_engine_start(&config, &started, &error) != 0) {
        fprintf(stderr, "start: %s\n", error.message);
        exit(1);
    }
    return started;
}

/* The engine's descriptor in an epoll of the program's own, as a storage node has it. */
static void begin_loop(void)
{
    struct epoll_event wanted;
    memset(&wanted, 0, sizeof wanted);
    epoll_fd = epoll_create1(0);
    wanted.events = EPOLLIN;
    check("loop", ringway_loop_fd(engine));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ringway_loop_fd(engine), &wanted) != 0)
        exit(1);
}

static ringway_event *next(void)
{
    while (event_at == event_count) {
        int64_t timeout_ns;
        struct epoll_event ready;
        event_at = 0;
        event_count = ringway_loop_poll(engine, events, 256);
        check("poll", event_count);
        if (event_count > 0)
            break;
        check("timeout", ringway_loop_timeout_ns(engine, &timeout_ns));
        if (timeout_ns != 0)
            epoll_wait(epoll_fd, &ready, 1,
                       timeout_ns < 0 ? -1 : (int)((timeout_ns + 999999) / 1000000));
    }
    return &events[event_at++];
}

static void listen_anywhere(ringway_engine *on, char *text, size_t size)
{
    ringway_listen_options options;
    ringway_listener listener;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.congestion_control = "cubic";
    check("listen", ringway_listen(on, "127.0.0.1:0", &options, &listener));
    check("address", ringway_listener_address(on, listener, text, size));
}

static void listen_and_tell(void)
{
    char text[128];
    listen_anywhere(engine, text, sizeof text);
    printf("ready %s\n", text);
    fflush(stdout);
}

static ringway_stream connect_to(const char *address)
{
    ringway_connect_options options;
    ringway_session session;
    ringway_stream stream;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.congestion_control = "cubic";
    check("connect", ringway_connect(engine, address, &options, &session));
    while (next()->kind != RINGWAY_EVENT_SESSION_CONNECTED) {
    }
    check("open", ringway_stream_open(engine, session, NULL, &stream));
    return stream;
}

static int bulk_receive(void)
{
    listen_and_tell();
    for (;;) {
        ringway_event *event = next();
        ringway_stream stream = event->kind == RINGWAY_EVENT_STREAM_ACCEPTED ? event->related
                                                                             : event->handle;
        ringway_chunk chunk;
        int64_t offset;
        if (event->kind == RINGWAY_EVENT_SESSION_ENDED)
            return ringway_engine_free(engine);
        if (event->kind == RINGWAY_EVENT_STREAM_ACCEPTED)
            raise(SIGUSR1);
        else if (event->kind != RINGWAY_EVENT_STREAM_READABLE)
            continue;
        while ((offset = ringway_stream_receive(engine, stream, &chunk)) >= 0)
            check("consume", ringway_stream_consume(engine, stream, chunk.length));
        if (offset == RINGWAY_E_EOF) {
            raise(SIGUSR1);
            check("finish", ringway_stream_finish(engine, stream, 0, NULL));
        } else if (offset != RINGWAY_E_AGAIN)
            check("receive", offset);
    }
}

static int bulk_send(const char *address, uint64_t mib)
{
    /* From the allocator, as on the Rust side: what a copy costs depends on where its ends lie. */
    char *piece = malloc(PIECE);
    ringway_stream stream = connect_to(address);
    ringway_chunk end;
    uint64_t left = (mib << 20) / PIECE;
    double begun;
    int64_t code;
    if (!piece)
        exit(1);
    memset(piece, 7, PIECE);
    raise(SIGUSR1);
    begun = now();
    while (left > 0) {
        code = ringway_stream_send(engine, stream, piece, PIECE, left == 1 ? RINGWAY_SEND_FINISH : 0);
        if (code >= 0)
            left--;
        else if (code == RINGWAY_E_AGAIN)
            next();
        else
            check("send", code);
    }
    while ((code = ringway_stream_receive(engine, stream, &end)) == RINGWAY_E_AGAIN)
        next();
    if (code != RINGWAY_E_EOF)
        check("end", code);
    raise(SIGUSR1);
    printf("%.9f\n", now() - begun);
    return ringway_engine_free(engine);
}

static int echo_serve(void)
{
    listen_and_tell();
    for (;;) {
        ringway_event *event = next();
        ringway_stream stream = event->kind == RINGWAY_EVENT_STREAM_ACCEPTED ? event->related
                                                                             : event->handle;
        ringway_chunk chunk;
        if (event->kind == RINGWAY_EVENT_SESSION_ENDED)
            return ringway_engine_free(engine);
        if (event->kind != RINGWAY_EVENT_STREAM_ACCEPTED &&
            event->kind != RINGWAY_EVENT_STREAM_READABLE)
            continue;
        while (ringway_stream_receive(engine, stream, &chunk) >= 0) {
            check("send", ringway_stream_send(engine, stream, chunk.data, chunk.length,
                                              RINGWAY_SEND_RECORD));
            check("consume", ringway_stream_consume(engine, stream, chunk.length));
        }
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static int echo_call(const char *address, double seconds)
{
    static double times[2000000];
    static char message[MESSAGE];
    ringway_stream stream = connect_to(address);
    double begun = now();
    size_t count = 0;
    while (now() - begun < seconds && count < sizeof times / sizeof *times) {
        double sent = now();
        ringway_chunk chunk;
        int64_t offset;
        check("send", ringway_stream_send(engine, stream, message, sizeof message,
                                          RINGWAY_SEND_RECORD));
        while ((offset = ringway_stream_receive(engine, stream, &chunk)) == RINGWAY_E_AGAIN)
            next();
        check("receive", offset);
        check("consume", ringway_stream_consume(engine, stream, chunk.length));
        times[count++] = now() - sent;
    }
    qsort(times, count, sizeof *times, compare);
    printf("%.3f\n", times[count / 2] * 1e6);
    return ringway_engine_free(engine);
}

static void node_serve(void)
{
    static char block[BLOCK];
    ringway_buffer *buffer;
    check("wrap", ringway_buffer_wrap(block, sizeof block, NULL, NULL, &buffer));
    listen_and_tell();
    for (;;) {
        ringway_event *event = next();
        ringway_stream stream = event->kind == RINGWAY_EVENT_STREAM_ACCEPTED ? event->related
                                                                             : event->handle;
        ringway_chunk chunk;
        if (event->kind != RINGWAY_EVENT_STREAM_ACCEPTED &&
            event->kind != RINGWAY_EVENT_STREAM_READABLE)
            continue;
        while (ringway_stream_receive(engine, stream, &chunk) >= 0) {
            check("consume", ringway_stream_consume(engine, stream, chunk.length));
            check("send", ringway_stream_send_buffer(engine, stream, buffer, 0, BLOCK,
                                                     RINGWAY_SEND_RECORD));
        }
    }
}

static int calls(const char *kind, long count)
{
    ringway_engine *peer = start(RINGWAY_LOOP_THREADS);
    ringway_stream stream;
    ringway_offsets offsets;
    ringway_chunk chunk;
    ringway_event told[8];
    static char message[MESSAGE];
    char address[128];
    long i;
    offsets.struct_size = sizeof offsets;
    listen_anywhere(peer, address, sizeof address);
    stream = connect_to(address);
    while (ringway_stream_receive(engine, stream, &chunk) != RINGWAY_E_AGAIN) {
    }
    for (i = 0; i < 200; i++) {
        ringway_loop_poll(engine, told, 8);
        usleep(1000);
    }
    raise(SIGUSR1);
    for (i = 0; i < count; i++) {
        switch (kind[0]) {
        case 'v': ringway_version_number(); break;
        case 'o': ringway_stream_offsets(engine, stream, &offsets); break;
        case 'r': ringway_stream_receive(engine, stream, &chunk); break;
        case 'p': ringway_loop_poll(engine, told, 8); break;
        case 's': ringway_stream_send(engine, stream, message, sizeof message, 0); break;
        default: break;
        }
    }
    raise(SIGUSR1);
    /* Nothing is freed: only the calls are of interest. */
    fflush(stdout);
    _exit(0);
}

int main(int count, char **words)
{
    uint32_t mode;
    if (count < 3)
        return 2;
    signal(SIGUSR1, SIG_IGN); /* what `steps` counts lies between two of them */
    mode = strcmp(words[1], "caller") == 0 ? RINGWAY_LOOP_CALLER : RINGWAY_LOOP_THREADS;
    engine = start(mode);
    begin_loop();
    if (strcmp(words[2], "bulk-receive") == 0)
        return bulk_receive();
    if (strcmp(words[2], "bulk-send") == 0 && count == 5)
        return bulk_send(words[3], strtoull(words[4], NULL, 10));
    if (strcmp(words[2], "echo-serve") == 0)
        return echo_serve();
    if (strcmp(words[2], "echo-call") == 0 && count == 5)
        return echo_call(words[3], atof(words[4]));
    if (strcmp(words[2], "node-serve") == 0)
        node_serve();
    if (strcmp(words[2], "calls") == 0 && count == 5)
        return calls(words[3], atol(words[4]));
    return 2;
}
