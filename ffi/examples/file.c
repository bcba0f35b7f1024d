/* file: moves one file between two programs over a stream, by the kernel.
 *
 *   file receive LISTEN-ADDRESS FILE    takes one file, then ends
 *   file send ADDRESS FILE              sends it, and ends when the peer has all of it
 */
#define _GNU_SOURCE
#include "example.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int receive(ringway_engine *engine, const char *address, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0) {
        perror(path);
        return 1;
    }
    listen_on(engine, address);
    for (;;) {
        ringway_event event = next(engine);
        if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED) {
            check(engine, event.related, "receive",
                  ringway_stream_receive_file(engine, event.related, file, 0, INT64_MAX, 0));
        } else if (event.kind == RINGWAY_EVENT_STREAM_FILE_RECEIVED) {
            uint32_t status = 0;
            char text[128];
            check(engine, event.handle, "receive", event.code);
            check(engine, event.handle, "status",
                  ringway_stream_peer_status(engine, event.handle, &status, text, sizeof text));
            if (status != 0) { /* the sender failed midway: what is there is not the file */
                fprintf(stderr, "the sender says: %s\n", text);
                return 1;
            }
            if (fsync(file) != 0 || close(file) != 0) {
                perror(path);
                return 1;
            }
            printf("%" PRIu64 " bytes\n", event.length);
            ringway_stream_finish(engine, event.handle, 0, NULL);
        } else if (event.kind == RINGWAY_EVENT_SESSION_ENDED) {
            return ringway_engine_free(engine);
        }
    }
}

static int send_(ringway_engine *engine, const char *address, const char *path)
{
    int file = open(path, O_RDONLY);
    struct stat about;
    ringway_session session;
    ringway_stream stream;
    ringway_chunk end;
    int64_t code;
    if (file < 0 || fstat(file, &about) != 0) {
        perror(path);
        return 1;
    }
    session = connect_to(engine, address);
    check(engine, session, "connect", next(engine).code);
    check(engine, session, "open", ringway_stream_open(engine, session, NULL, &stream));
    check(engine, stream, "send",
          ringway_stream_send_file(engine, stream, file, 0, (uint64_t)about.st_size,
                                   RINGWAY_SEND_FINISH));
    /* The receiver finishes its direction when the file is on its disk. */
    while ((code = ringway_stream_receive(engine, stream, &end)) == RINGWAY_E_AGAIN) {
        ringway_event event = next(engine);
        if (event.kind == RINGWAY_EVENT_SESSION_DISCONNECTED)
            fprintf(stderr, "the connection is lost; it is being made again\n");
        else if (event.kind == RINGWAY_EVENT_SESSION_RESUMED)
            fprintf(stderr, "resumed\n");
        else if (event.kind == RINGWAY_EVENT_STREAM_SEND_FAILED)
            give_up(engine, stream, "send", event.code);
    }
    if (code != RINGWAY_E_EOF)
        give_up(engine, stream, "the receiver", code);
    ringway_session_close(engine, session, 0, NULL);
    return ringway_engine_free(engine);
}

int main(int count, char **arguments)
{
    ringway_engine *engine = start(RINGWAY_LOOP_THREADS);
    if (count == 4 && strcmp(arguments[1], "receive") == 0)
        return receive(engine, arguments[2], arguments[3]);
    if (count == 4 && strcmp(arguments[1], "send") == 0)
        return send_(engine, arguments[2], arguments[3]);
    fprintf(stderr, "usage: file receive LISTEN-ADDRESS FILE | file send ADDRESS FILE\n");
    return 2;
}
