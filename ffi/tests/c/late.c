/* A loop of the caller's that is not polled for two heartbeats: the peer takes it for dead, the log
 * and RINGWAY_EVENT_LOOP_LATE say so, the session resumes and nothing is lost. */
#include "check.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int lines, warnings, reentrant;
static ringway_engine *engines[2];

/* From any thread, with locks of the library held. */
static void on_line(void *context, uint32_t level, const char *part, const char *line)
{
    pthread_mutex_lock(&lock);
    CHECK(context == &lines && level >= RINGWAY_LOG_ERROR && level <= RINGWAY_LOG_DEBUG);
    lines++;
    if (level == RINGWAY_LOG_WARN && strstr(line, "two heartbeats") && strlen(part) > 0)
        warnings++;
    if (engines[1] && ringway_loop_wake(engines[1]) == RINGWAY_E_REENTRANT)
        reentrant++;
    pthread_mutex_unlock(&lock);
}

static ringway_engine *start_hasty(uint32_t mode)
{
    ringway_config config;
    ringway_engine *engine = NULL;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.loop_mode = mode;
    config.shards = 1;
    config.heartbeat_ns = 100000000;
    OK(ringway_engine_start(&config, &engine, NULL));
    return engine;
}

int main(void)
{
    ringway_listener listener;
    ringway_session session;
    ringway_stream stream = 0, accepted = 0;
    ringway_event event;
    ringway_chunk chunk;
    char address[128];
    int who, late = 0, taken_for_dead = 0, resumed = 0, received = 0;

    EXPECT(RINGWAY_E_ARGUMENT, ringway_log_set(9, on_line, &lines));
    EXPECT(RINGWAY_E_NULL, ringway_log_set(RINGWAY_LOG_DEBUG, NULL, &lines));
    OK(ringway_log_set(RINGWAY_LOG_DEBUG, on_line, &lines));
    EXPECT(RINGWAY_E_STATE, ringway_log_set(RINGWAY_LOG_INFO, on_line, &lines));
    engines[0] = start_hasty(RINGWAY_LOOP_THREADS);
    engines[1] = start_hasty(RINGWAY_LOOP_CALLER);
    listener = start_listener(engines[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(engines[1], address);
    while (!accepted) {
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_SESSION_CONNECTED) {
            CHECK(event.code == 0);
            OK(ringway_stream_open(engines[1], session, NULL, &stream));
            EXPECT(3, ringway_stream_send(engines[1], stream, "abc", 3, 0));
        } else if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED) {
            accepted = event.related;
        }
    }
    /* Asleep, with something in hand. */
    EXPECT(6, ringway_stream_send(engines[1], stream, "def", 3, RINGWAY_SEND_FINISH));
    while (!taken_for_dead) {
        if (ringway_loop_wait(engines[0], &event, 1, 1000000000) == 1 &&
            event.kind == RINGWAY_EVENT_SESSION_DISCONNECTED)
            taken_for_dead = 1;
    }
    usleep(250000);
    while (!(late && resumed && received == 6)) {
        int64_t offset;
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_LOOP_LATE) {
            CHECK(who == 1 && event.length > 200000000 && event.handle == 0);
            late++;
        } else if (event.kind == RINGWAY_EVENT_SESSION_RESUMED && event.handle == session) {
            resumed = 1;
        }
        while ((offset = ringway_stream_receive(engines[0], accepted, &chunk)) >= 0) {
            CHECK(offset == received);
            CHECK(memcmp(chunk.data, "abcdef" + received, chunk.length) == 0);
            received += (int)chunk.length;
            OK(ringway_stream_consume(engines[0], accepted, chunk.length));
        }
    }
    OK(ringway_engine_free(engines[1]));
    pthread_mutex_lock(&lock);
    CHECK(lines > 0 && warnings >= 1 && reentrant > 0);
    engines[1] = NULL;
    pthread_mutex_unlock(&lock);
    OK(ringway_engine_free(engines[0]));
    return 0;
}
