/* A file is sent by description and received into a file, and memory is sent without a copy: the
 * bytes are the same, and lent memory comes back exactly once, after it is acked. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LENGTH = 24 << 20, PIECE = 3 << 20 };

static int released;

static void on_release(void *context, void *data, size_t length)
{
    (void)data;
    CHECK(length == PIECE);
    ++*(int *)context;
}

static int memory_file(void)
{
    int file = memfd_create("ringway-test", 0);
    CHECK(file >= 0);
    return file;
}

int main(void)
{
    ringway_engine *engines[2];
    ringway_stream sending = 0, receiving = 0;
    ringway_listener listener;
    ringway_session session;
    ringway_buffer *lent, *leased = NULL;
    ringway_stream_options options;
    ringway_event event;
    char address[128];
    unsigned char *bytes = malloc(LENGTH), *copy = malloc(LENGTH);
    int source = memory_file(), target = memory_file(), who, written = 0, acked = 0;
    size_t i, leased_length = 0, total = 0;

    for (i = 0; i < LENGTH; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    CHECK(write(source, bytes, LENGTH) == LENGTH);
    engines[0] = start_engine(RINGWAY_LOOP_CALLER);
    engines[1] = start_engine(RINGWAY_LOOP_THREADS);
    listener = start_listener(engines[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(engines[1], address);
    while (!written || !acked || released != 1) {
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_SESSION_CONNECTED) {
            CHECK(event.code == 0);
            memset(&options, 0, sizeof options);
            options.struct_size = sizeof options;
            options.queue_bytes_max = 8 << 20;
            OK(ringway_stream_open(engines[1], session, &options, &sending));
            /* the file, then a piece of it again from our memory, then from the arena */
            EXPECT(LENGTH, ringway_stream_send_file(engines[1], sending, source, 0, LENGTH, 0));
            total = LENGTH;
            OK(ringway_buffer_wrap(bytes, PIECE, on_release, &released, &lent));
            total += PIECE;
            EXPECT(total, ringway_stream_send_buffer(engines[1], sending, lent, 0, PIECE, 0));
            EXPECT(RINGWAY_E_ARGUMENT,
                   ringway_stream_send_buffer(engines[1], sending, lent, 1, PIECE, 0));
            OK(ringway_buffer_release(lent));
            OK(ringway_buffer_allocate(engines[1], 100000, &leased));
            leased_length = ringway_buffer_length(leased);
            CHECK(leased_length >= 100000);
            memcpy(ringway_buffer_data(leased), bytes, leased_length);
            total += leased_length;
            EXPECT(total, ringway_stream_send_buffer(engines[1], sending, leased, 0, leased_length,
                                                     RINGWAY_SEND_FINISH));
            OK(ringway_buffer_release(leased));
            OK(ringway_stream_notify(engines[1], sending, RINGWAY_GOAL_FINISH_ACKED, 0, 0));
        } else if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED) {
            receiving = event.related;
            EXPECT(RINGWAY_E_DESCRIPTOR,
                   ringway_stream_receive_file(engines[0], receiving, -1, 0, 1, 0));
            OK(ringway_stream_receive_file(engines[0], receiving, target, 0, UINT64_MAX >> 2, 9));
        } else if (event.kind == RINGWAY_EVENT_STREAM_FILE_RECEIVED) {
            CHECK(event.code == 0 && event.token == 9 && event.length == total);
            written = 1;
        } else if (event.kind == RINGWAY_EVENT_STREAM_FINISH_ACKED) {
            CHECK(event.code == 0);
            acked = 1;
        }
    }
    CHECK(pread(target, copy, LENGTH, 0) == LENGTH && memcmp(bytes, copy, LENGTH) == 0);
    CHECK(pread(target, copy, PIECE, LENGTH) == PIECE && memcmp(bytes, copy, PIECE) == 0);
    CHECK(pread(target, copy, leased_length, LENGTH + PIECE) == (ssize_t)leased_length);
    CHECK(memcmp(bytes, copy, leased_length) == 0);
    /* a part beyond the end of the file is told, and ends only that stream */
    OK(ringway_stream_open(engines[1], session, NULL, &sending));
    CHECK(ringway_stream_send_file(engines[1], sending, source, LENGTH, 1, 0) >= 0);
    for (;;) {
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_STREAM_SEND_FAILED)
            break;
    }
    CHECK(event.handle == sending && event.code == RINGWAY_E_LIMIT);
    for (who = 0; who < 2; who++)
        OK(ringway_engine_free(engines[who]));
    CHECK(released == 1);
    free(bytes);
    free(copy);
    return 0;
}
