/* Whatever C gives, a code comes back and nothing happens: first each kind of bad argument by
 * itself, then random sequences of calls with stale, NULL and foreign handles from several
 * threads. The seed is an argument, so that a failure happens again. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static void each_argument(void)
{
    ringway_engine *engine = start_engine(RINGWAY_LOOP_THREADS);
    ringway_engine *other = start_engine(RINGWAY_LOOP_THREADS);
    ringway_listener listener = start_listener(engine, "127.0.0.1:0");
    ringway_listener foreign = start_listener(other, "127.0.0.1:0");
    ringway_session session;
    ringway_stream stream = 1234;
    ringway_chunk chunk;
    ringway_error error;
    ringway_connect_options options;
    ringway_listen_options listening;
    ringway_keys *keys = NULL;
    ringway_buffer *buffer = NULL;
    char text[64];
    size_t length = 99;
    struct {
        ringway_stream_options known;
        unsigned char tail[16];
    } larger;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    errno = 4242;

    /* NULL */
    EXPECT(RINGWAY_E_NULL, ringway_engine_start(NULL, NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_loop_fd(NULL));
    EXPECT(RINGWAY_E_NULL, ringway_loop_poll(engine, NULL, 1));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_loop_poll(engine, NULL, 0));
    EXPECT(RINGWAY_E_NULL, ringway_listen(engine, NULL, NULL, &listener));
    EXPECT(RINGWAY_E_NULL, ringway_listen(engine, "127.0.0.1:0", NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_stream_receive(engine, stream, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_last_error(engine, 0, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_loop_dispatch(engine, NULL, NULL));
    EXPECT(RINGWAY_OK, ringway_keys_free(NULL));
    EXPECT(RINGWAY_OK, ringway_engine_free(NULL));
    EXPECT(RINGWAY_OK, ringway_buffer_release(NULL));
    CHECK(ringway_buffer_data(NULL) == NULL && ringway_buffer_length(NULL) == 0);

    /* handles */
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_free(engine, 0));
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_free(engine, ~(uint64_t)0));
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_free(engine, listener));
    EXPECT(RINGWAY_E_HANDLE, ringway_listener_close(engine, foreign));
    OK(ringway_listener_close(other, foreign));
    EXPECT(RINGWAY_E_CLOSED, ringway_listener_close(other, foreign));
    EXPECT(RINGWAY_E_CLOSED, ringway_listener_address(other, foreign, text, sizeof text));

    /* options */
    memset(&options, 0, sizeof options);
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    OK(ringway_last_error(engine, 0, &error));
    CHECK(error.code == RINGWAY_E_STRUCT_SIZE && error.allowed == sizeof options);
    options.struct_size = (size_t)-1;
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    options.struct_size = sizeof options;
    EXPECT(RINGWAY_E_ARGUMENT, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    OK(ringway_last_error(engine, 0, &error));
    CHECK(strstr(error.message, "ringway_keys_of_user") != NULL);
    options.insecure = 9;
    EXPECT(RINGWAY_E_ARGUMENT, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.has_descriptor = 1;
    options.descriptor = -7;
    EXPECT(RINGWAY_E_DESCRIPTOR, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    options.descriptor = open("/dev/null", O_RDONLY);
    EXPECT(RINGWAY_E_DESCRIPTOR, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    close(options.descriptor);
    EXPECT(RINGWAY_E_DESCRIPTOR, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    options.has_descriptor = 0;
    options.congestion_control = "carrier pigeon";
    EXPECT(RINGWAY_E_ARGUMENT, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    options.congestion_control = NULL;
    memset(&listening, 0, sizeof listening);
    listening.struct_size = sizeof listening;
    listening.insecure = RINGWAY_INSECURE_LOCAL;
    EXPECT(RINGWAY_E_KERNEL, ringway_listen(engine, "0.0.0.0:0", &listening, &listener));
    OK(ringway_last_error(engine, 0, &error));
    CHECK(error.system_errno == EACCES && error.error_class == RINGWAY_CLASS_KERNEL);
    EXPECT(RINGWAY_E_ARGUMENT, ringway_listen(engine, "nonsense", &listening, &listener));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_listen(engine, "\xff\xfe:1", &listening, &listener));

    /* keys */
    EXPECT(RINGWAY_E_ARGUMENT, ringway_keys_from_hex("me", "12", &keys, &error));
    CHECK(strstr(error.message, "64") != NULL && keys == NULL);
    EXPECT(RINGWAY_E_KEY_FILE, ringway_keys_load("/nonexistent/key", 0, &keys, &error));
    CHECK(error.system_errno == ENOENT);

    /* a session that is not connected */
    OK(ringway_connect(engine, "127.0.0.1:1", &options, &session));
    EXPECT(RINGWAY_E_STATE, ringway_stream_open(engine, session, NULL, &stream));
    EXPECT(RINGWAY_E_STATE, ringway_session_dialled(engine, session, 0));
    EXPECT(RINGWAY_E_STATE, ringway_session_drain(engine, session));
    CHECK(stream == 1234);

    /* a structure of a newer program: its tail may be there, but not used */
    memset(&larger, 0, sizeof larger);
    larger.known.struct_size = sizeof larger;
    EXPECT(RINGWAY_E_STATE, ringway_stream_open(engine, session, &larger.known, &stream));
    larger.tail[15] = 1;
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_stream_open(engine, session, &larger.known, &stream));
    OK(ringway_session_free(engine, session));
    EXPECT(RINGWAY_E_CLOSED, ringway_session_free(engine, session));

    /* flags, goals, lengths */
    EXPECT(RINGWAY_E_ARGUMENT, ringway_stream_send(engine, stream, "x", 1, 0x80));
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_send(engine, stream, "x", 1, 0));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_stream_notify(engine, stream, 17, 0, 0));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_stream_set_priority(engine, stream, 9));
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_set_priority(engine, stream, 8));
    EXPECT(RINGWAY_E_LIMIT, ringway_buffer_wrap(text, (size_t)-1, NULL, NULL, &buffer));
    EXPECT(RINGWAY_E_ARGUMENT,
           ringway_stream_receive_into(engine, stream, text, 0, &length, NULL));
    EXPECT(RINGWAY_E_HANDLE, ringway_stream_receive(engine, stream, &chunk));
    EXPECT(RINGWAY_E_AGAIN, ringway_buffer_allocate(engine, (size_t)1 << 40, &buffer));
    CHECK(buffer == NULL && length == 99);

    /* `errno` is the program's */
    errno = 4242;
    EXPECT(RINGWAY_E_KEY_FILE, ringway_keys_load("/nonexistent/key", 0, &keys, NULL));
    CHECK(errno == 4242);

    /* after the end */
    OK(ringway_engine_stop(engine, 1000000000));
    EXPECT(RINGWAY_E_ENGINE_STOPPED, ringway_engine_stop(engine, 0));
    EXPECT(RINGWAY_E_ENGINE_STOPPED, ringway_connect(engine, "127.0.0.1:1", &options, &session));
    EXPECT(RINGWAY_E_ENGINE_STOPPED, ringway_statistics_json(engine, NULL, 0));
    OK(ringway_engine_free(engine));
    OK(ringway_engine_free(other));
}

/* --- threads and callbacks ------------------------------------------------------------------- */

static void *from_elsewhere(void *pointer)
{
    ringway_engine *engine = pointer;
    ringway_event event;
    ringway_buffer *buffer = NULL;
    int64_t timeout = 17;
    EXPECT(RINGWAY_E_THREAD, ringway_loop_poll(engine, &event, 1));
    EXPECT(RINGWAY_E_THREAD, ringway_loop_wait(engine, &event, 1, 0));
    EXPECT(RINGWAY_E_THREAD, ringway_loop_timeout_ns(engine, &timeout));
    EXPECT(RINGWAY_E_THREAD, ringway_buffer_allocate(engine, 1, &buffer));
    EXPECT(RINGWAY_E_THREAD, ringway_engine_stop(engine, 0));
    EXPECT(RINGWAY_E_THREAD, ringway_engine_free(engine));
    CHECK(timeout == 17 && buffer == NULL);
    return NULL;
}

static int dispatched;

static void from_inside(void *context, const ringway_event *event)
{
    ringway_engine *engine = context;
    ringway_event another;
    char text[64];
    CHECK(event->kind == RINGWAY_EVENT_SESSION_CONNECTED && event->code == RINGWAY_E_UNREACHABLE);
    EXPECT(RINGWAY_E_REENTRANT, ringway_loop_poll(engine, &another, 1));
    EXPECT(RINGWAY_E_REENTRANT, ringway_loop_dispatch(engine, from_inside, context));
    EXPECT(RINGWAY_E_REENTRANT, ringway_engine_free(engine));
    /* What does not poll is fine. */
    CHECK(ringway_statistics_json(engine, text, sizeof text) > 64);
    OK(ringway_session_free(engine, event->handle));
    dispatched++;
}

static int released;

static void on_release(void *context, void *data, size_t length)
{
    ringway_engine *engine = context;
    CHECK(length == 5 && memcmp(data, "bytes", 5) == 0);
    EXPECT(RINGWAY_E_REENTRANT, ringway_loop_fd(engine));
    released++;
}

static void threads_and_callbacks(void)
{
    ringway_engine *engine = start_engine(RINGWAY_LOOP_CALLER);
    ringway_connect_options options;
    ringway_session session;
    ringway_buffer *buffer;
    pthread_t thread;
    static char bytes[] = "bytes";
    CHECK(pthread_create(&thread, NULL, from_elsewhere, engine) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.connect_timeout_ns = 50000000;
    OK(ringway_connect(engine, "127.0.0.1:1", &options, &session));
    while (dispatched == 0) {
        int told = ringway_loop_dispatch(engine, from_inside, engine);
        CHECK(told >= 0);
        usleep(1000);
    }
    OK(ringway_buffer_wrap(bytes, 5, on_release, engine, &buffer));
    CHECK(ringway_buffer_data(buffer) == bytes && ringway_buffer_length(buffer) == 5);
    OK(ringway_buffer_retain(buffer));
    OK(ringway_buffer_release(buffer));
    CHECK(released == 0);
    OK(ringway_buffer_release(buffer));
    CHECK(released == 1);
    OK(ringway_engine_free(engine));
}

/* --- random sequences ------------------------------------------------------------------------- */

enum { POOL = 256, THREADS = 3 };

static ringway_engine *fuzzed[2];
static uint64_t pool[POOL];
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static char server_address[128];

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t some_handle(uint64_t *state)
{
    uint64_t handle;
    if (draw(state) % 16 == 0)
        return draw(state) % 2 ? draw(state) : 0;
    pthread_mutex_lock(&pool_lock);
    handle = pool[draw(state) % POOL];
    pthread_mutex_unlock(&pool_lock);
    return handle;
}

static void keep_handle(uint64_t *state, uint64_t handle)
{
    pthread_mutex_lock(&pool_lock);
    pool[draw(state) % POOL] = handle;
    pthread_mutex_unlock(&pool_lock);
}

static void one_call(uint64_t *state)
{
    static const char data[70000];
    ringway_engine *engine = draw(state) % 32 ? fuzzed[draw(state) % 2] : NULL;
    uint64_t handle = some_handle(state), made = 0;
    ringway_event events[8];
    ringway_session_info info;
    ringway_offsets offsets;
    ringway_chunk chunk;
    ringway_error error;
    ringway_buffer *buffer = NULL;
    ringway_connect_options options;
    char text[64];
    size_t length;
    uint32_t status;
    int told, i;

    memset(&info, 0, sizeof info);
    memset(&offsets, 0, sizeof offsets);
    memset(&error, 0, sizeof error);
    memset(&options, 0, sizeof options);
    info.struct_size = draw(state) % 8 ? sizeof info : (size_t)(draw(state) % 64);
    offsets.struct_size = sizeof offsets;
    error.struct_size = sizeof error;
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.own_dialer = draw(state) % 8 == 0;

    switch (draw(state) % 30) {
    case 0: case 1: case 2: case 3:
        told = ringway_loop_poll(engine, events, 1 + draw(state) % 8);
        for (i = 0; i < told; i++) {
            if (events[i].related)
                keep_handle(state, events[i].related);
            if (events[i].kind == RINGWAY_EVENT_SESSION_CONNECTED && events[i].code == 0 &&
                ringway_stream_open(engine, events[i].handle, NULL, &made) == 0)
                keep_handle(state, made);
        }
        break;
    case 4:
        if (ringway_connect(engine, server_address, &options, &made) == 0)
            keep_handle(state, made);
        break;
    case 5: case 6: case 7:
        if (ringway_stream_open(engine, handle, NULL, &made) == 0)
            keep_handle(state, made);
        break;
    case 8: case 9: case 10:
        ringway_stream_send(engine, handle, data, draw(state) % sizeof data, draw(state) % 4);
        break;
    case 11: ringway_stream_send_file(engine, handle, (int)(draw(state) % 12) - 2, 0, 10, 0); break;
    case 12: ringway_stream_finish(engine, handle, (uint32_t)draw(state), "over"); break;
    case 13: ringway_stream_reset(engine, handle, 1, NULL); break;
    case 14: ringway_stream_stop(engine, handle, 1, NULL); break;
    case 15: case 16: ringway_stream_receive(engine, handle, &chunk); break;
    case 17: ringway_stream_consume(engine, handle, draw(state) % 1000); break;
    case 18:
        if (ringway_stream_take(engine, handle, &buffer, &chunk) >= 0) {
            ringway_stream_send_buffer(engine, some_handle(state), buffer, draw(state) % 10,
                                       draw(state) % 1000, 0);
            OK(ringway_buffer_release(buffer));
        }
        break;
    case 19: ringway_stream_receive_into(engine, handle, text, sizeof text, &length, NULL); break;
    case 20: ringway_stream_notify(engine, handle, (uint32_t)(draw(state) % 4), draw(state) % 99999, 1); break;
    case 21: ringway_stream_offsets(engine, handle, &offsets); break;
    case 22: ringway_stream_peer_status(engine, handle, &status, text, sizeof text); break;
    case 23: ringway_session_query(engine, handle, &info); break;
    case 24: ringway_session_reconnect(engine, handle); break;
    case 25: ringway_last_error(engine, handle, &error); break;
    case 26: ringway_stream_free(engine, handle); break;
    case 27: if (draw(state) % 4 == 0) ringway_session_free(engine, handle); break;
    case 28:
        switch (draw(state) % 7) {
        case 0: ringway_session_close(engine, handle, 3, "closed by a draw"); break;
        case 1: ringway_session_abort(engine, handle); break;
        case 2: ringway_session_drain(engine, handle); break;
        case 3: ringway_session_dialled(engine, handle, -111); break;
        case 4: ringway_listener_address(engine, handle, text, sizeof text); break;
        case 5: ringway_stream_set_priority(engine, handle, (uint32_t)(draw(state) % 10)); break;
        default: ringway_transfer_cancel(engine, handle); break;
        }
        break;
    default:
        if (ringway_buffer_allocate(engine, draw(state) % 100000, &buffer) == 0) {
            ringway_stream_send_buffer(engine, handle, buffer, 0, ringway_buffer_length(buffer), 0);
            OK(ringway_buffer_release(buffer));
        }
        break;
    }
}

static void *fuzz(void *argument)
{
    uint64_t state = *(uint64_t *)argument;
    int i;
    for (i = 0; i < 4000; i++)
        one_call(&state);
    return NULL;
}

static void random_calls(uint64_t seed)
{
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    ringway_listener listener;
    int i;
    memset(pool, 0, sizeof pool);
    for (i = 0; i < 2; i++)
        fuzzed[i] = start_engine(RINGWAY_LOOP_THREADS);
    listener = start_listener(fuzzed[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(fuzzed[0], listener, server_address, sizeof server_address) > 0);
    pool[0] = listener;
    for (i = 0; i < THREADS; i++) {
        seeds[i] = seed * 1000003 + (uint64_t)i + 1;
        CHECK(pthread_create(&threads[i], NULL, fuzz, &seeds[i]) == 0);
    }
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (i = 0; i < 2; i++)
        OK(ringway_engine_free(fuzzed[i]));
}

int main(int count, char **arguments)
{
    uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
    each_argument();
    threads_and_callbacks();
    random_calls(seed);
    return 0;
}
