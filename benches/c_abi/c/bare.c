/* What an echo in C costs without Ringway: one message of 64 B to and fro, an epoll loop each side.
 *
 *   bare serve                   prints `ready ADDRESS`, serves one connection
 *   bare call ADDRESS SECONDS    prints the median round trip, µs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64 };

static int epoll_fd, connection;
static char message[MESSAGE];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void watch(void)
{
    struct epoll_event wanted;
    int on = 1;
    memset(&wanted, 0, sizeof wanted);
    wanted.events = EPOLLIN;
    epoll_fd = epoll_create1(0);
    fcntl(connection, F_SETFL, O_NONBLOCK);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection, &wanted);
}

/* Returns 0 at the end of the connection. */
static int receive(void)
{
    size_t got = 0;
    while (got < MESSAGE) {
        ssize_t count = read(connection, message + got, MESSAGE - got);
        struct epoll_event ready;
        if (count > 0)
            got += (size_t)count;
        else if (count == 0)
            return 0;
        else if (errno == EAGAIN)
            epoll_wait(epoll_fd, &ready, 1, -1);
        else
            exit(1);
    }
    return 1;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

int main(int count, char **words)
{
    static double times[2000000];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    size_t done = 0;
    double begun;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (count == 2) {
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0)
            return 1;
        getsockname(listener, (struct sockaddr *)&address, &size);
        printf("ready 127.0.0.1:%d\n", ntohs(address.sin_port));
        fflush(stdout);
        connection = accept(listener, NULL, NULL);
        watch();
        while (receive())
            if (write(connection, message, MESSAGE) != MESSAGE)
                return 1;
        return 0;
    }
    if (count != 4)
        return 2;
    address.sin_port = htons((unsigned short)atoi(strrchr(words[2], ':') + 1));
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, size) != 0)
        return 1;
    watch();
    begun = now();
    while (now() - begun < atof(words[3]) && done < sizeof times / sizeof *times) {
        double sent = now();
        if (write(connection, message, MESSAGE) != MESSAGE || !receive())
            return 1;
        times[done++] = now() - sent;
    }
    qsort(times, done, sizeof *times, compare);
    printf("%.3f\n", times[done / 2] * 1e6);
    return 0;
}
