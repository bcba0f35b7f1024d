/* A handle may be freed as soon as its direction is finished: every byte arrives all the same,
 * then the status. (Freed handles once took back what the shard had not accepted yet, and only the
 * end arrived: a short stream that said that all was well.) */
#include "check.h"

enum { STREAMS = 40, PIECES = 30 };

static unsigned char byte_at(uint64_t offset) { return (unsigned char)(offset * 13 + offset / 509); }
static size_t piece_bytes(int stream) { return stream % 4 == 3 ? 100000 : (size_t)stream + 1; }

/* Sends one finished stream and lets go of it at once. */
static void send_and_free(ringway_engine *engine, ringway_session session, int index)
{
    static unsigned char data[100000];
    ringway_stream_options options;
    ringway_stream stream;
    uint64_t offset = 0;
    int piece;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.queue_bytes_max = 64 << 20;
    OK(ringway_stream_open(engine, session, &options, &stream));
    for (piece = 0; piece < PIECES; piece++) {
        size_t i, length = piece_bytes(index);
        int last = piece + 1 == PIECES && index % 2;
        for (i = 0; i < length; i++)
            data[i] = byte_at(offset + i);
        offset += length;
        EXPECT(offset, ringway_stream_send(engine, stream, data, length,
                                           last ? RINGWAY_SEND_FINISH : 0));
    }
    if (index % 2 == 0)
        EXPECT(offset, ringway_stream_finish(engine, stream, 0, NULL));
    OK(ringway_stream_free(engine, stream));
}

/* Returns whether the stream is at its end. */
static int receive_all(ringway_engine *engine, ringway_stream stream, uint64_t *received)
{
    ringway_chunk chunk;
    int64_t offset;
    while ((offset = ringway_stream_receive(engine, stream, &chunk)) >= 0) {
        size_t i;
        CHECK((uint64_t)offset == *received);
        for (i = 0; i < chunk.length; i++)
            CHECK(((const unsigned char *)chunk.data)[i] == byte_at(*received + i));
        *received += chunk.length;
        OK(ringway_stream_consume(engine, stream, chunk.length));
    }
    CHECK(offset == RINGWAY_E_AGAIN || offset == RINGWAY_E_EOF);
    return offset == RINGWAY_E_EOF;
}

static void run(uint32_t sender_mode)
{
    ringway_engine *engines[2];
    ringway_listener listener;
    ringway_session session;
    ringway_stream streams[STREAMS];
    uint64_t received[STREAMS], sums[2] = {0, 0};
    int known = 0, ended = 0, who, i;
    char address[128];
    ringway_config config;
    ringway_event event;

    memset(received, 0, sizeof received);
    engines[0] = start_engine(RINGWAY_LOOP_THREADS);
    /* The session keeps less than one large stream: most of it waits in the library. */
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.loop_mode = sender_mode;
    config.shards = 1;
    config.retained_bytes_max = 1 << 20;
    OK(ringway_engine_start(&config, &engines[1], NULL));
    listener = start_listener(engines[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(engines[1], address);
    while (ended < STREAMS) {
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_SESSION_CONNECTED) {
            CHECK(event.code == 0);
            for (i = 0; i < STREAMS; i++)
                send_and_free(engines[1], session, i);
        } else if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED) {
            CHECK(known < STREAMS);
            streams[known] = event.related;
            ended += receive_all(engines[0], streams[known], &received[known]);
            known++;
        } else if (event.kind == RINGWAY_EVENT_STREAM_READABLE) {
            for (i = 0; i < known && streams[i] != event.handle; i++) {
            }
            CHECK(i < known);
            ended += receive_all(engines[0], streams[i], &received[i]);
        }
    }
    for (i = 0; i < STREAMS; i++) {
        sums[0] += received[i];
        sums[1] += PIECES * piece_bytes(i);
    }
    CHECK(sums[0] == sums[1]);
    OK(ringway_engine_free(engines[0]));
    OK(ringway_engine_free(engines[1]));
}

int main(void)
{
    run(RINGWAY_LOOP_THREADS);
    run(RINGWAY_LOOP_CALLER);
    return 0;
}
