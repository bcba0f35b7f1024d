/* The program's own dialer makes the first connection and every further one, and a connection
 * that the program accepted itself is adopted: the session survives both ends of a cut. */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in bound;

static int dial(void)
{
    int socket_ = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(socket_ >= 0);
    CHECK(connect(socket_, (struct sockaddr *)&bound, sizeof bound) == 0);
    return socket_;
}

int main(void)
{
    ringway_engine *engines[2];
    ringway_listener listener;
    ringway_session session;
    ringway_stream stream = 0, accepted = 0;
    ringway_connect_options options;
    ringway_event event;
    socklen_t size = sizeof bound;
    char text[16];
    size_t length;
    int front = socket(AF_INET, SOCK_STREAM, 0), newest = -1, dials = 0, resumed = 0, who, done = 0;

    bound.sin_family = AF_INET;
    bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(front, (struct sockaddr *)&bound, sizeof bound) == 0 && listen(front, 8) == 0);
    CHECK(getsockname(front, (struct sockaddr *)&bound, &size) == 0);

    engines[0] = start_engine(RINGWAY_LOOP_THREADS);
    engines[1] = start_engine(RINGWAY_LOOP_CALLER);
    listener = start_listener(engines[0], "127.0.0.1:0");
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    options.own_dialer = 1;
    options.has_descriptor = 1;
    options.descriptor = dial();
    OK(ringway_connect(engines[1], "127.0.0.1:1", &options, &session));
    newest = options.descriptor;

    while (!done) {
        struct pollfd waiting = {front, POLLIN, 0};
        if (poll(&waiting, 1, 0) == 1) {
            int connection = accept(front, NULL, NULL);
            OK(ringway_listener_adopt(engines[0], listener, connection));
            close(connection);
        }
        for (who = 0; who < 2; who++) {
            while (ringway_loop_wait(engines[who], &event, 1, 500000) == 1) {
                switch (event.kind) {
                case RINGWAY_EVENT_DIAL:
                    CHECK(event.handle == session);
                    dials++;
                    if (dials == 1) {
                        OK(ringway_session_dialled(engines[1], session, -ECONNREFUSED));
                    } else {
                        newest = dial();
                        OK(ringway_session_dialled(engines[1], session, newest));
                        EXPECT(RINGWAY_E_STATE, ringway_session_dialled(engines[1], session, newest));
                    }
                    break;
                case RINGWAY_EVENT_SESSION_CONNECTED:
                    CHECK(event.code == 0);
                    OK(ringway_stream_open(engines[1], session, NULL, &stream));
                    EXPECT(5, ringway_stream_send(engines[1], stream, "first", 5, 0));
                    break;
                case RINGWAY_EVENT_STREAM_ACCEPTED:
                    accepted = event.related;
                    EXPECT(0, ringway_stream_receive_into(engines[0], accepted, text, 5, &length,
                                                          NULL));
                    CHECK(length == 5 && memcmp(text, "first", 5) == 0);
                    EXPECT(RINGWAY_E_AGAIN, ringway_stream_receive_into(engines[0], accepted, text,
                                                                        16, &length, NULL));
                    /* cut: our copy of the descriptor names the same connection */
                    CHECK(shutdown(newest, SHUT_RDWR) == 0);
                    close(newest);
                    break;
                case RINGWAY_EVENT_SESSION_RESUMED:
                    if (event.handle == session) {
                        CHECK(event.offset >= 2);
                        resumed = 1;
                        EXPECT(11, ringway_stream_send(engines[1], stream, "second", 6,
                                                       RINGWAY_SEND_FINISH));
                    }
                    break;
                case RINGWAY_EVENT_STREAM_READABLE:
                    EXPECT(5, ringway_stream_receive_into(engines[0], accepted, text, 16, &length,
                                                          NULL));
                    CHECK(length == 6 && memcmp(text, "second", 6) == 0);
                    done = 1;
                    break;
                default:
                    break;
                }
            }
        }
    }
    CHECK(resumed && dials >= 2);
    for (who = 0; who < 2; who++)
        OK(ringway_engine_free(engines[who]));
    close(front);
    return 0;
}
