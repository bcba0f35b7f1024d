/* pipe: standard input of one side becomes standard output of the other, across cuts.
 *
 *   pipe receive LISTEN-ADDRESS > OUT      ends after one input, with its status
 *   pipe send ADDRESS < IN
 */
#include "example.h"

#include <errno.h>
#include <unistd.h>

static void write_all(const void *data, size_t length)
{
    const char *from = data;
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, from, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            perror("standard output");
            exit(1);
        }
        from += written;
        length -= (size_t)written;
    }
}

/* Returns whether the end was reached. */
static int drain(ringway_engine *engine, ringway_stream stream)
{
    for (;;) {
        ringway_chunk chunk;
        int64_t offset = ringway_stream_receive(engine, stream, &chunk);
        if (offset == RINGWAY_E_AGAIN)
            return 0;
        if (offset == RINGWAY_E_EOF)
            return 1;
        check(engine, stream, "receive", offset);
        write_all(chunk.data, chunk.length);
        ringway_stream_consume(engine, stream, chunk.length);
    }
}

static int receive(ringway_engine *engine, const char *address)
{
    ringway_keys *keys = user_keys();
    ringway_listen_options options;
    ringway_listener listener;
    ringway_stream stream = 0;
    char text[256];
    uint32_t status;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.keys = keys;
    check(engine, 0, "listen", ringway_listen(engine, address, &options, &listener));
    ringway_keys_free(keys);
    ringway_listener_address(engine, listener, text, sizeof text);
    fprintf(stderr, "listening on %s\n", text);
    for (;;) {
        ringway_event event = next(engine);
        if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED)
            stream = event.related;
        else if (event.kind == RINGWAY_EVENT_SESSION_ENDED)
            give_up(engine, event.handle, "session", event.code);
        else if (event.kind != RINGWAY_EVENT_STREAM_READABLE)
            continue;
        if (drain(engine, stream))
            break;
    }
    check(engine, stream, "status",
          ringway_stream_peer_status(engine, stream, &status, text, sizeof text));
    /* The answer to the sender: everything is written. */
    ringway_stream_finish(engine, stream, 0, NULL);
    while (next(engine).kind != RINGWAY_EVENT_SESSION_ENDED) {
    }
    ringway_engine_free(engine);
    return status == 0 ? 0 : 1;
}

static int send_(ringway_engine *engine, const char *address)
{
    static char data[128 << 10];
    ringway_session session = connect_to(engine, address);
    ringway_stream stream;
    ringway_chunk end;
    int64_t code;
    check(engine, session, "connect", next(engine).code);
    check(engine, session, "open", ringway_stream_open(engine, session, NULL, &stream));
    for (;;) {
        ssize_t length = read(STDIN_FILENO, data, sizeof data);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0) {
            /* "broken" is not "complete": the receiver is told which. */
            code = length == 0 ? ringway_stream_finish(engine, stream, 0, NULL)
                               : ringway_stream_finish(engine, stream, 1001, "input failed");
            check(engine, stream, "finish", code);
            break;
        }
        while ((code = ringway_stream_send(engine, stream, data, (size_t)length, 0)) ==
               RINGWAY_E_AGAIN)
            while (next(engine).kind != RINGWAY_EVENT_STREAM_WRITABLE) {
            }
        check(engine, stream, "send", code);
    }
    while ((code = ringway_stream_receive(engine, stream, &end)) == RINGWAY_E_AGAIN)
        next(engine);
    if (code != RINGWAY_E_EOF)
        give_up(engine, stream, "the receiver", code);
    ringway_session_close(engine, session, 0, NULL);
    return ringway_engine_free(engine);
}

int main(int count, char **arguments)
{
    ringway_engine *engine = start(RINGWAY_LOOP_THREADS);
    if (count == 3 && strcmp(arguments[1], "receive") == 0)
        return receive(engine, arguments[2]);
    if (count == 3 && strcmp(arguments[1], "send") == 0)
        return send_(engine, arguments[2]);
    fprintf(stderr, "usage: pipe receive LISTEN-ADDRESS > OUT | pipe send ADDRESS < IN\n");
    return 2;
}
