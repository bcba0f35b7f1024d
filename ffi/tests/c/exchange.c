/* Two engines in one process, one with threads and one in our loop, exchange records both ways:
 * every byte and record boundary arrives, the three levels of "sent" come in their order, and the
 * end arrives with its status after all bytes. */
#include "check.h"

enum { RECORDS = 200 };

static size_t record_length(int i) { return (size_t)((i * 7919) % 5000); }
static unsigned char byte_at(uint64_t offset) { return (unsigned char)(offset * 31 + offset / 251); }

struct side {
    ringway_stream stream;
    uint64_t received;
    int records;
    int saw_end, acked, consumed, finish_acked;
};

static uint64_t total(void)
{
    uint64_t sum = 0;
    int i;
    for (i = 0; i < RECORDS; i++)
        sum += record_length(i);
    return sum;
}

static void send_all(ringway_engine *engine, ringway_stream stream, int *sent)
{
    static unsigned char data[5000];
    static uint64_t offsets[2];
    while (*sent < RECORDS) {
        size_t length = record_length(*sent), i;
        uint64_t from = 0;
        int64_t end;
        int k;
        for (k = 0; k < *sent; k++)
            from += record_length(k);
        for (i = 0; i < length; i++)
            data[i] = byte_at(from + i);
        if (*sent % 2) {
            ringway_slice slices[2];
            slices[0].data = data;
            slices[0].length = length / 3;
            slices[1].data = data + length / 3;
            slices[1].length = length - length / 3;
            end = ringway_stream_sendv(engine, stream, slices, 2, RINGWAY_SEND_RECORD);
        } else {
            end = ringway_stream_send(engine, stream, data, length, RINGWAY_SEND_RECORD);
        }
        if (end == RINGWAY_E_AGAIN)
            return;
        CHECK(end == (int64_t)(from + length));
        (void)offsets;
        ++*sent;
    }
}

static void receive_all(ringway_engine *engine, struct side *side)
{
    for (;;) {
        ringway_chunk chunk;
        int64_t offset = ringway_stream_receive(engine, side->stream, &chunk);
        size_t i;
        if (offset == RINGWAY_E_AGAIN)
            return;
        if (offset == RINGWAY_E_EOF) {
            uint32_t status = 0;
            char text[32];
            EXPECT(7, ringway_stream_peer_status(engine, side->stream, &status, text, sizeof text));
            CHECK(status == 1007 && strcmp(text, "goodbye") == 0);
            side->saw_end = 1;
            return;
        }
        CHECK(offset == (int64_t)side->received && chunk.offset == side->received);
        for (i = 0; i < chunk.length; i++)
            CHECK(((const unsigned char *)chunk.data)[i] == byte_at(side->received + i));
        side->received += chunk.length;
        side->records += (chunk.flags & RINGWAY_CHUNK_RECORD) != 0;
        if (chunk.length > 10) {
            EXPECT(RINGWAY_E_ARGUMENT,
                   ringway_stream_consume(engine, side->stream, chunk.length + 1));
            OK(ringway_stream_consume(engine, side->stream, 10));
            OK(ringway_stream_consume(engine, side->stream, chunk.length - 10));
        } else {
            OK(ringway_stream_consume(engine, side->stream, chunk.length));
        }
        EXPECT(RINGWAY_E_STATE, ringway_stream_consume(engine, side->stream, 0));
    }
}

static void run(uint32_t server_mode, uint32_t client_mode, const char *listen_address)
{
    ringway_engine *engines[2];
    ringway_listener listener;
    ringway_session session, accepted = 0;
    struct side sides[2];
    char address[256], name[64];
    int sent[2] = {0, 0}, finished[2] = {0, 0}, who;
    ringway_event event;
    ringway_session_info info;

    memset(sides, 0, sizeof sides);
    engines[0] = start_engine(server_mode);
    engines[1] = start_engine(client_mode);
    listener = start_listener(engines[0], listen_address);
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(engines[1], address);
    OK(ringway_set_user_data(engines[1], session, 77));

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    while (!(sides[0].saw_end && sides[1].saw_end && sides[0].finish_acked &&
             sides[1].finish_acked && sides[0].consumed && sides[1].consumed)) {
        ringway_offsets offsets;
        struct side *side;
        CHECK(next_event(engines, 2, &event, &who));
        side = &sides[who];
        switch (event.kind) {
        case RINGWAY_EVENT_SESSION_ACCEPTED:
            accepted = event.related;
            CHECK(ringway_session_peer_name(engines[0], accepted, name, sizeof name) > 0);
            break;
        case RINGWAY_EVENT_SESSION_CONNECTED:
            CHECK(event.code == 0 && event.handle == session && event.user_data == 77);
            OK(ringway_stream_open(engines[1], session, NULL, &side->stream));
            send_all(engines[1], side->stream, &sent[1]);
            EXPECT(RINGWAY_E_AGAIN, ringway_stream_receive(engines[1], side->stream,
                                                           &(ringway_chunk){0}));
            break;
        case RINGWAY_EVENT_STREAM_ACCEPTED:
            CHECK(who == 0 && event.handle == accepted);
            side->stream = event.related;
            send_all(engines[0], side->stream, &sent[0]);
            receive_all(engines[0], side);
            break;
        case RINGWAY_EVENT_STREAM_READABLE:
            receive_all(engines[who], side);
            break;
        case RINGWAY_EVENT_STREAM_WRITABLE:
            send_all(engines[who], side->stream, &sent[who]);
            break;
        case RINGWAY_EVENT_STREAM_ACKED:
            CHECK(event.code == 0 && event.token == 5 && event.offset == total());
            side->acked = 1;
            break;
        case RINGWAY_EVENT_STREAM_CONSUMED:
            CHECK(event.code == 0 && event.token == 6);
            memset(&offsets, 0, sizeof offsets);
            offsets.struct_size = sizeof offsets;
            OK(ringway_stream_offsets(engines[who], side->stream, &offsets));
            CHECK(offsets.sent == total() && offsets.acked == total());
            CHECK(offsets.consumed == total());
            CHECK(side->acked);
            side->consumed = 1;
            OK(ringway_stream_notify(engines[who], side->stream, RINGWAY_GOAL_FINISH_ACKED, 0, 7));
            EXPECT(total(), ringway_stream_finish(engines[who], side->stream, 1007, "goodbye"));
            EXPECT(RINGWAY_E_FINISHED,
                   ringway_stream_send(engines[who], side->stream, "x", 1, 0));
            break;
        case RINGWAY_EVENT_STREAM_FINISH_ACKED:
            CHECK(event.code == 0);
            side->finish_acked = 1;
            break;
        default:
            fprintf(stderr, "event %u code %d\n", event.kind, event.code);
            CHECK(!"an event that was not expected");
        }
        if (sent[who] == RECORDS && !finished[who]) {
            finished[who] = 1;
            OK(ringway_stream_notify(engines[who], side->stream, RINGWAY_GOAL_ACKED, total(), 5));
            OK(ringway_stream_notify(engines[who], side->stream, RINGWAY_GOAL_CONSUMED, total(), 6));
        }
    }
    for (who = 0; who < 2; who++) {
        CHECK(sides[who].received == total() && sides[who].records == RECORDS);
        CHECK(sides[who].acked);
        OK(ringway_stream_free(engines[who], sides[who].stream));
        EXPECT(RINGWAY_E_CLOSED, ringway_stream_free(engines[who], sides[who].stream));
    }
    OK(ringway_session_query(engines[1], session, &info));
    CHECK(info.state == RINGWAY_SESSION_CONNECTED && info.epoch == 1);
    OK(ringway_session_close(engines[1], session, 0, NULL));
    for (;;) {
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_SESSION_ENDED && who == 0)
            break;
    }
    OK(ringway_session_free(engines[0], accepted));
    OK(ringway_session_free(engines[1], session));
    OK(ringway_listener_close(engines[0], listener));
    for (who = 0; who < 2; who++) {
        OK(ringway_engine_stop(engines[who], 1000000000));
        OK(ringway_engine_free(engines[who]));
    }
}

int main(void)
{
    run(RINGWAY_LOOP_THREADS, RINGWAY_LOOP_CALLER, "127.0.0.1:0");
    run(RINGWAY_LOOP_CALLER, RINGWAY_LOOP_THREADS, "127.0.0.1:0");
    run(RINGWAY_LOOP_CALLER, RINGWAY_LOOP_CALLER, "127.0.0.1:0");
    run(RINGWAY_LOOP_THREADS, RINGWAY_LOOP_THREADS, "127.0.0.1:0");
    return 0;
}
