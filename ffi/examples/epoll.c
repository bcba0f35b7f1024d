/* epoll: Ringway in an epoll loop of the program's own, beside another socket, on one thread.
 *
 *   epoll RINGWAY-ADDRESS UDP-PORT
 *
 * Each datagram that arrives at the UDP port is sent as a record on a stream to the Ringway peer
 * (`echo`, for one), and what comes back from there goes to whoever sent the last datagram.
 */
#include "example.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static ringway_engine *engine;
static ringway_session session;
static ringway_stream stream;
static int udp;
static struct sockaddr_in last;
static socklen_t last_size;

static void on_datagram(void)
{
    char data[2048];
    ssize_t length;
    last_size = sizeof last;
    length = recvfrom(udp, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&last, &last_size);
    /* A datagram that finds no room is lost, as datagrams are. */
    if (length >= 0 && stream)
        ringway_stream_send(engine, stream, data, (size_t)length, RINGWAY_SEND_RECORD);
}

static void on_answer(void)
{
    ringway_chunk chunk;
    while (ringway_stream_receive(engine, stream, &chunk) >= 0) {
        if (last_size)
            sendto(udp, chunk.data, chunk.length, 0, (struct sockaddr *)&last, last_size);
        ringway_stream_consume(engine, stream, chunk.length);
    }
}

static void on_ringway(void)
{
    ringway_event events[16];
    int count, i;
    while ((count = ringway_loop_poll(engine, events, 16)) > 0) {
        for (i = 0; i < count; i++) {
            if (events[i].kind == RINGWAY_EVENT_SESSION_CONNECTED) {
                check(engine, session, "connect", events[i].code);
                check(engine, session, "open", ringway_stream_open(engine, session, NULL, &stream));
                on_answer(); /* nothing yet: READABLE will tell */
                printf("ready\n");
                fflush(stdout);
            } else if (events[i].kind == RINGWAY_EVENT_STREAM_READABLE) {
                on_answer();
            } else if (events[i].kind == RINGWAY_EVENT_SESSION_ENDED) {
                give_up(engine, session, "session", events[i].code);
            }
        }
    }
    check(engine, 0, "poll", count);
}

int main(int count, char **arguments)
{
    struct sockaddr_in address;
    struct epoll_event wanted;
    int epoll;
    if (count != 3) {
        fprintf(stderr, "usage: epoll RINGWAY-ADDRESS UDP-PORT\n");
        return 2;
    }
    engine = start(RINGWAY_LOOP_CALLER);
    session = connect_to(engine, arguments[1]);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    epoll = epoll_create1(0);
    if (udp < 0 || epoll < 0 || bind(udp, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("udp");
        return 1;
    }
    memset(&wanted, 0, sizeof wanted);
    wanted.events = EPOLLIN;
    wanted.data.fd = udp;
    epoll_ctl(epoll, EPOLL_CTL_ADD, udp, &wanted);
    wanted.data.fd = ringway_loop_fd(engine);
    epoll_ctl(epoll, EPOLL_CTL_ADD, wanted.data.fd, &wanted);
    for (;;) {
        struct epoll_event ready[2];
        int64_t timeout_ns;
        int i, told;
        on_ringway();
        check(engine, 0, "timeout", ringway_loop_timeout_ns(engine, &timeout_ns));
        /* rounded up: too early would be once more for nothing */
        told = epoll_wait(epoll, ready, 2,
                          timeout_ns < 0 ? -1 : (int)((timeout_ns + 999999) / 1000000));
        if (told < 0 && errno != EINTR)
            return 1;
        for (i = 0; i < told; i++)
            if (ready[i].data.fd == udp)
                on_datagram();
    }
}
