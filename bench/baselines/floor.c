/* The floor under every server that makes one system call per event and reader: a loop around send().
 *
 *     floor RATE SIZE
 *
 * Answers every request with the same endless stream of events, RATE a second, each with SIZE bytes of text.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65536 };

static const char HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                           "transfer-encoding: chunked\r\n\r\n";
static char reading[MOST];
static int highest;

static void broadcast(char *body, char *piece, const char *padding)
{
    static unsigned long count;
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    int size = sprintf(body, "id: aaaa-%lu\nevent: delta\ndata: {\"text\":\"@%lu;%s\"}\n\n", ++count,
                       (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec, padding);
    size = sprintf(piece, "%x\r\n%s\r\n", (unsigned)size, body);
    for (int fd = 0; fd <= highest; fd++)
        if (reading[fd])
            send(fd, piece, (size_t)size, MSG_NOSIGNAL);
}

static void take(int fd)
{
    char request[4096];
    if (recv(fd, request, sizeof request, 0) <= 0) {
        reading[fd] = 0;
        close(fd);
        return;
    }
    send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL);
    reading[fd] = 1;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    double rate = atof(arguments[1]);
    size_t padding_size = (size_t)atol(arguments[2]);
    char *padding = malloc(padding_size + 1), *body = malloc(padding_size + 256), *piece = malloc(padding_size + 300);
    memset(padding, 'x', padding_size);
    padding[padding_size] = 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    if (bind(listening, (struct sockaddr *)&address, length) < 0 || listen(listening, 4096) < 0)
        return 1;
    getsockname(listening, (struct sockaddr *)&address, &length);
    int epoll_fd = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    long nanoseconds = (long)(1e9 / rate);
    struct timespec interval = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    struct itimerspec each = {interval, interval};
    timerfd_settime(timer, 0, &each, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listening, &event);
    event.data.fd = timer;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event);
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event found[256];
        int size = epoll_wait(epoll_fd, found, 256, -1);
        for (int i = 0; i < size; i++) {
            int fd = found[i].data.fd;
            if (fd == listening) {
                if ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) < 0 || fd >= MOST)
                    continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                highest = fd > highest ? fd : highest;
                event.data.fd = fd;
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
            } else if (fd == timer) {
                uint64_t ticks;
                if (read(timer, &ticks, sizeof ticks) > 0)
                    broadcast(body, piece, padding);
            } else
                take(fd);
        }
    }
}
