/* echo: sends every byte of every stream back, and ends each as its peer did.
 *
 *   echo LISTEN-ADDRESS             serves until it is killed
 *   echo --to ADDRESS TEXT          sends TEXT, prints what comes back
 */
#include "example.h"

static void serve(ringway_engine *engine, ringway_stream stream)
{
    for (;;) {
        ringway_chunk chunk;
        int64_t offset = ringway_stream_receive(engine, stream, &chunk);
        if (offset == RINGWAY_E_AGAIN)
            return; /* READABLE follows */
        if (offset < 0) {
            if (offset == RINGWAY_E_EOF)
                ringway_stream_finish(engine, stream, 0, NULL);
            ringway_stream_free(engine, stream);
            return;
        }
        offset = ringway_stream_send(engine, stream, chunk.data, chunk.length,
                                     chunk.flags & RINGWAY_CHUNK_RECORD ? RINGWAY_SEND_RECORD : 0);
        if (offset == RINGWAY_E_AGAIN)
            return; /* WRITABLE follows; the chunk stays borrowed until then */
        if (offset < 0) {
            ringway_stream_free(engine, stream);
            return;
        }
        ringway_stream_consume(engine, stream, chunk.length);
    }
}

static void serve_all(ringway_engine *engine, const char *address)
{
    listen_on(engine, address);
    for (;;) {
        ringway_event event = next(engine);
        if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED)
            serve(engine, event.related);
        else if (event.kind == RINGWAY_EVENT_STREAM_READABLE ||
                 event.kind == RINGWAY_EVENT_STREAM_WRITABLE)
            serve(engine, event.handle);
        else if (event.kind == RINGWAY_EVENT_SESSION_ENDED)
            ringway_session_free(engine, event.handle);
    }
}

static int ask(ringway_engine *engine, const char *address, const char *text)
{
    ringway_session session = connect_to(engine, address);
    ringway_event event = next(engine);
    ringway_stream stream;
    check(engine, session, "connect", event.code);
    check(engine, session, "open", ringway_stream_open(engine, session, NULL, &stream));
    check(engine, stream, "send",
          ringway_stream_send(engine, stream, text, strlen(text), RINGWAY_SEND_FINISH));
    for (;;) {
        char back[4096];
        size_t length;
        int64_t offset = ringway_stream_receive_into(engine, stream, back, sizeof back, &length, NULL);
        if (offset == RINGWAY_E_EOF)
            break;
        if (offset == RINGWAY_E_AGAIN) {
            next(engine);
            continue;
        }
        check(engine, stream, "receive", offset);
        fwrite(back, 1, length, stdout);
    }
    printf("\n");
    ringway_stream_free(engine, stream);
    ringway_session_close(engine, session, 0, NULL);
    return ringway_engine_free(engine);
}

int main(int count, char **arguments)
{
    ringway_engine *engine = start(RINGWAY_LOOP_CALLER);
    if (count == 2)
        serve_all(engine, arguments[1]);
    if (count == 4 && strcmp(arguments[1], "--to") == 0)
        return ask(engine, arguments[2], arguments[3]);
    fprintf(stderr, "usage: echo LISTEN-ADDRESS | echo --to ADDRESS TEXT\n");
    return 2;
}
