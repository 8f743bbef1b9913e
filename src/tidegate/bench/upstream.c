/* A model server that costs next to nothing: answers every POST with OpenAI chat completion chunks.
 *
 *     upstream RATE TOKENS
 *
 * RATE is in tokens a second for each answer, 0 for as fast as it is read; an answer has TOKENS tokens. Prints
 * "listening on http://127.0.0.1:PORT". A token carries `@`, its time in nanoseconds of CLOCK_REALTIME, and `;`.
 * Every GET is answered with the list of models, for gateways that look whether a server is well and what it has.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* As fast as it is read, so many chunks are written at a time: what a fast model's one write may hold. */
enum { BURST = 16, MOST = 65536, OUT = 8192, IN = 65536 };

struct answer {
    int fd, streaming;
    uint64_t due;
    long sent;
    size_t in_size, out_size;
    char *in, out[OUT];
};

static struct answer *answers[MOST];
static int epoll_fd, highest;
static long per_answer;
static uint64_t interval;

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static size_t chunk(char *to, const char *body, int size)
{
    return (size_t)sprintf(to, "%x\r\n%.*s\r\n", (unsigned)size, size, body);
}

static size_t token(char *to)
{
    char body[400];
    int size = sprintf(body,
                       "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
                       "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%lu; tide\"},"
                       "\"logprobs\":null,\"finish_reason\":null}]}\n\n",
                       now(CLOCK_REALTIME));
    return chunk(to, body, size);
}

static size_t last(char *to)
{
    static const char finish[] =
        "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
        "data: [DONE]\n\n";
    size_t size = chunk(to, finish, sizeof finish - 1);
    memcpy(to + size, "0\r\n\r\n", 5);
    return size + 5;
}

static void watch(struct answer *answer, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.fd = answer->fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, answer->fd, &event);
}

static void drop(struct answer *answer)
{
    answers[answer->fd] = NULL;
    close(answer->fd);
    free(answer->in);
    free(answer);
}

/* What is wanted of the socket follows from the answer: room to write, where something waits to be written. */
static void flush(struct answer *answer)
{
    ssize_t size = answer->out_size ? send(answer->fd, answer->out, answer->out_size, MSG_NOSIGNAL) : 0;
    if (size < 0 && errno != EAGAIN) {
        drop(answer);
        return;
    }
    size_t written = size > 0 ? (size_t)size : 0;
    memmove(answer->out, answer->out + written, answer->out_size - written);
    answer->out_size -= written;
    int hungry = answer->out_size || (answer->streaming && !interval);
    watch(answer, EPOLLIN | (hungry ? EPOLLOUT : 0));
}

static void produce(struct answer *answer, uint64_t time)
{
    if (answer->out_size)
        return;
    for (int i = 0; i < BURST && answer->sent < per_answer && answer->due <= time; i++) {
        answer->out_size += token(answer->out + answer->out_size);
        answer->sent++;
        answer->due += interval;
    }
    if (answer->sent == per_answer) {
        answer->out_size += last(answer->out + answer->out_size);
        answer->streaming = 0;
    }
}

static void begin(struct answer *answer)
{
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    memcpy(answer->out, head, sizeof head - 1);
    answer->out_size = sizeof head - 1;
    answer->streaming = 1;
    answer->sent = 0;
    /* Answers begun together do not stay in step. */
    answer->due = now(CLOCK_MONOTONIC) + (interval ? (uint64_t)random() % interval : 0);
    flush(answer);
}

static void list_models(struct answer *answer)
{
    static const char body[] = "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\"}]}";
    answer->out_size = (size_t)sprintf(answer->out,
                                       "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                                       sizeof body - 1, body);
    flush(answer);
}

static void take(struct answer *answer)
{
    ssize_t size = recv(answer->fd, answer->in + answer->in_size, IN - 1 - answer->in_size, 0);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN)
            drop(answer);
        return;
    }
    answer->in_size += (size_t)size;
    answer->in[answer->in_size] = 0;
    char *end = strstr(answer->in, "\r\n\r\n"), *length = strcasestr(answer->in, "\r\ncontent-length:");
    if (!end)
        return;
    size_t whole = (size_t)(end + 4 - answer->in) + (length && length < end ? (size_t)atol(length + 17) : 0);
    if (answer->in_size < whole)
        return;
    answer->in_size = 0;
    if (memcmp(answer->in, "GET ", 4) == 0)
        list_models(answer);
    else
        begin(answer);
}

static void welcome(int listening)
{
    int one = 1, fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0 || fd >= MOST)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    answers[fd] = calloc(1, sizeof *answers[fd]);
    answers[fd]->fd = fd;
    answers[fd]->in = malloc(IN);
    highest = fd > highest ? fd : highest;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void tick(int timer)
{
    uint64_t ticks, time = now(CLOCK_MONOTONIC);
    if (read(timer, &ticks, sizeof ticks) < 0)
        return;
    for (int fd = 0; fd <= highest; fd++) {
        struct answer *answer = answers[fd];
        if (answer && answer->streaming && answer->due <= time) {
            produce(answer, time);
            flush(answer);
        }
    }
}

static void attend(struct answer *answer, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        take(answer);
        return;
    }
    if (answer->streaming && !interval)
        produce(answer, UINT64_MAX);
    flush(answer);
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    double rate = atof(arguments[1]);
    interval = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    per_answer = atol(arguments[2]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listening, (struct sockaddr *)&address, length) < 0 || listen(listening, 4096) < 0)
        return 1;
    getsockname(listening, (struct sockaddr *)&address, &length);
    epoll_fd = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec each = {.it_interval.tv_nsec = 1000000, .it_value.tv_nsec = 1000000};
    if (interval)
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
            if (fd == listening)
                welcome(listening);
            else if (fd == timer)
                tick(timer);
            else if (answers[fd])
                attend(answers[fd], found[i].events);
        }
    }
}
