/* Several threads send on streams of their own through one session while others poll the loops:
 * what the program shares with the engine, and what it shares through it, is ordered. */
#include "check.h"

#include <pthread.h>

enum { SENDERS = 4, RECORDS = 300 };

static ringway_engine *engines[2];
static ringway_session session;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, records, is_over;

/* Written by the sending thread, read by the one that gets the release. The engine orders both,
 * but the sanitizer does not see into it: hence atomics. */
struct lent {
    unsigned char bytes[512];
    int written;
    int came_back;
};

static struct lent lent[SENDERS][RECORDS];

static void on_release(void *context, void *data, size_t length)
{
    struct lent *piece = context;
    CHECK(data == piece->bytes && length == sizeof piece->bytes);
    CHECK(__atomic_load_n(&piece->written, __ATOMIC_SEQ_CST) == 1);
    __atomic_store_n(&piece->came_back, 1, __ATOMIC_SEQ_CST);
}

static void *send_some(void *argument)
{
    struct lent *pieces = argument;
    ringway_stream stream;
    int i;
    pthread_mutex_lock(&lock);
    while (!connected)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    OK(ringway_stream_open(engines[1], session, NULL, &stream));
    for (i = 0; i < RECORDS; i++) {
        ringway_buffer *buffer;
        int64_t end;
        memset(pieces[i].bytes, i, sizeof pieces[i].bytes);
        __atomic_store_n(&pieces[i].written, 1, __ATOMIC_SEQ_CST);
        OK(ringway_buffer_wrap(pieces[i].bytes, sizeof pieces[i].bytes, on_release, &pieces[i],
                               &buffer));
        do {
            end = ringway_stream_send_buffer(engines[1], stream, buffer, 0,
                                             sizeof pieces[i].bytes, RINGWAY_SEND_RECORD);
        } while (end == RINGWAY_E_AGAIN);
        CHECK(end == (int64_t)((i + 1) * sizeof pieces[i].bytes));
        OK(ringway_buffer_release(buffer));
    }
    CHECK(ringway_stream_finish(engines[1], stream, 0, NULL) >= 0);
    return NULL;
}

static void drain_stream(ringway_stream stream)
{
    for (;;) {
        ringway_chunk chunk;
        int64_t offset = ringway_stream_receive(engines[0], stream, &chunk);
        if (offset < 0) {
            CHECK(offset == RINGWAY_E_AGAIN || offset == RINGWAY_E_EOF || offset == RINGWAY_E_STATE);
            return;
        }
        if (chunk.flags & RINGWAY_CHUNK_RECORD) {
            pthread_mutex_lock(&lock);
            records++;
            pthread_cond_broadcast(&changed);
            pthread_mutex_unlock(&lock);
        }
        OK(ringway_stream_consume(engines[0], stream, chunk.length));
    }
}

static void *poll_loop(void *argument)
{
    ringway_engine *engine = argument;
    for (;;) {
        ringway_event events[16];
        int told = ringway_loop_wait(engine, events, 16, 10000000), i, over;
        CHECK(told >= 0);
        for (i = 0; i < told; i++) {
            if (events[i].kind == RINGWAY_EVENT_SESSION_CONNECTED) {
                CHECK(events[i].code == 0);
                pthread_mutex_lock(&lock);
                connected = 1;
                pthread_cond_broadcast(&changed);
                pthread_mutex_unlock(&lock);
            } else if (events[i].kind == RINGWAY_EVENT_STREAM_ACCEPTED) {
                drain_stream(events[i].related);
            } else if (events[i].kind == RINGWAY_EVENT_STREAM_READABLE) {
                drain_stream(events[i].handle);
            }
        }
        pthread_mutex_lock(&lock);
        over = is_over;
        pthread_mutex_unlock(&lock);
        if (over)
            return NULL;
    }
}

int main(void)
{
    pthread_t senders[SENDERS], pollers[2];
    ringway_listener listener;
    char address[128];
    int i, k;
    for (i = 0; i < 2; i++)
        engines[i] = start_engine(RINGWAY_LOOP_THREADS);
    listener = start_listener(engines[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(engines[1], address);
    for (i = 0; i < SENDERS; i++)
        CHECK(pthread_create(&senders[i], NULL, send_some, lent[i]) == 0);
    for (i = 0; i < 2; i++)
        CHECK(pthread_create(&pollers[i], NULL, poll_loop, engines[i]) == 0);
    for (i = 0; i < SENDERS; i++)
        CHECK(pthread_join(senders[i], NULL) == 0);
    pthread_mutex_lock(&lock);
    while (records < SENDERS * RECORDS)
        pthread_cond_wait(&changed, &lock);
    is_over = 1;
    pthread_mutex_unlock(&lock);
    for (i = 0; i < 2; i++)
        CHECK(pthread_join(pollers[i], NULL) == 0);
    for (i = 0; i < 2; i++)
        OK(ringway_engine_free(engines[i]));
    for (i = 0; i < SENDERS; i++)
        for (k = 0; k < RECORDS; k++)
            CHECK(__atomic_load_n(&lent[i][k].came_back, __ATOMIC_SEQ_CST));
    return 0;
}
