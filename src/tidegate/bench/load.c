/* Reads event streams over many connections, and counts: cheap enough not to be what is measured.
 *
 *     load PORT CONNECTIONS AT_ONCE AGAIN RECEIVE_BUFFER WEBSOCKET < request, then commands
 *
 * The request is on stdin, preceded by its length in bytes as a line; commands follow, one a line:
 *     reset        counts from here
 *     report       one line of JSON with the counts since then
 *     stall K      the first K connections are not read any more
 *     resume       they are read again
 *     quit
 *
 * "ready" is printed when every connection has had the first bytes of an answer. At most AT_ONCE connections wait
 * for theirs at a time. With AGAIN = 1 an answer that has ended is asked for again on the same connection.
 *
 * With WEBSOCKET = 1 the request is a handshake, and what follows its empty line goes out as it is once the server has
 * switched protocols; then the first frame is the answer. An event is a text or binary frame. Pings are answered, and
 * have to be empty.
 *
 * A token carries `@`, the nanoseconds of CLOCK_REALTIME at which it was made in 19 digits, and `;`. It is out of order
 * when its time is not after that of the token before.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STAMP_DIGITS = 19, SUB = 32, BUCKETS = 64 * SUB, READ_SIZE = 1 << 16 };
enum { PING = 9, MASKED = 128, HEADER_SIZE = 10 };

static const char EMPTY_LINE[] = "\r\n\r\n";

struct connection {
    int fd;
    uint8_t connected, checked, headed, failed, stalled, in_stamp, digits, after_last;
    uint8_t switching, header_size, header[HEADER_SIZE];
    char line[4];
    uint32_t length;
    uint64_t payload, stamp, before, began, live, tokens;
};

struct histogram {
    uint64_t count, sum, max, buckets[BUCKETS];
};

static struct connection *connections;
static int total, opened, waiting, at_once, again, receive_buffer, websocket, epoll_fd, port, stalled;
static char *request;
static size_t request_size, greeting_size;
static uint64_t since, tokens, events, reads, bytes, ends, closed, failed, headed, disorder;
static struct histogram delay, delay_stalled, to_live;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Buckets of 1/32 of a power of two: a percentile is right within 3 %. Nanoseconds. */
static int bucket_of(uint64_t value)
{
    if (value < SUB)
        return (int)value;
    int power = 63 - __builtin_clzll(value);
    return (power - 4) * SUB + (int)((value >> (power - 5)) & (SUB - 1));
}

static uint64_t middle_of(int bucket)
{
    if (bucket < SUB)
        return (uint64_t)bucket;
    int power = bucket / SUB + 4;
    uint64_t width = (uint64_t)1 << (power - 5);
    return ((uint64_t)1 << power) + (uint64_t)(bucket % SUB) * width + width / 2;
}

static void note(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->buckets[bucket_of(value)]++;
}

static double milliseconds_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram->buckets[i]) > wanted)
            return (double)middle_of(i) / 1e6;
    return (double)histogram->max / 1e6;
}

static void print_histogram(const char *name, const struct histogram *histogram)
{
    double mean = histogram->count ? (double)histogram->sum / (double)histogram->count / 1e6 : 0;
    printf(",\"%s\":{\"count\":%lu,\"mean\":%.4f,\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f}", name, histogram->count, mean,
           milliseconds_at(histogram, 0.50), milliseconds_at(histogram, 0.99), (double)histogram->max / 1e6);
}

static void report(void)
{
    uint64_t fewest = UINT64_MAX, most = 0, live = 0;
    for (int i = 0; i < total; i++) {
        uint64_t count = connections[i].tokens;
        fewest = count < fewest ? count : fewest;
        most = count > most ? count : most;
        live += connections[i].live != 0;
    }
    printf("{\"seconds\":%.6f,\"tokens\":%lu,\"events\":%lu,\"reads\":%lu,\"bytes\":%lu,\"ends\":%lu,\"closed\":%lu,"
           "\"failed\":%lu,\"connected\":%lu,\"live\":%lu,\"tokens_min\":%lu,\"tokens_max\":%lu,\"disorder\":%lu",
           (double)(now() - since) / 1e9, tokens, events, reads, bytes, ends, closed, failed, headed, live, fewest, most,
           disorder);
    print_histogram("delay_ms", &delay);
    print_histogram("delay_stalled_ms", &delay_stalled);
    print_histogram("to_live_ms", &to_live);
    printf("}\n");
    fflush(stdout);
}

static void reset(void)
{
    since = now();
    tokens = events = reads = bytes = ends = closed = 0;
    memset(&delay, 0, sizeof delay);
    memset(&delay_stalled, 0, sizeof delay_stalled);
}

static void watch(struct connection *connection, int operation, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.ptr = connection};
    epoll_ctl(epoll_fd, operation, connection->fd, &event);
}

static void dial(struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    connection->fd = fd;
    connection->began = now();
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        perror("connect");
        exit(1);
    }
    watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

static void dial_more(void)
{
    while (opened < total && waiting < at_once) {
        waiting++;
        dial(&connections[opened++]);
    }
}

static void say(struct connection *connection, const char *data, size_t size)
{
    if (send(connection->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        connection->failed = 1;
}

static void ask(struct connection *connection)
{
    say(connection, request, request_size);
    connection->connected = 1;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void fail(struct connection *connection, const char *data, size_t size)
{
    connection->failed = 1;
    if (failed++ == 0)
        fprintf(stderr, "%.*s\n", (int)size, data);
}

static void check(struct connection *connection, const char *data, size_t size)
{
    if (connection->checked)
        return;
    connection->checked = 1;
    if (size < 12 || memcmp(data + 9, websocket ? "101" : "200", 3) != 0)
        fail(connection, data, size);
}

static void head(struct connection *connection)
{
    if (connection->headed)
        return;
    connection->headed = 1;
    waiting--;
    headed++;
    dial_more();
    if (headed == (uint64_t)total) {
        printf("ready\n");
        fflush(stdout);
    }
}

static void stamped(struct connection *connection, uint64_t time)
{
    uint64_t late = time > connection->stamp ? time - connection->stamp : 0;
    note(connection - connections < stalled ? &delay_stalled : &delay, late);
    disorder += connection->stamp <= connection->before;
    connection->before = connection->stamp;
    if (!connection->live && connection->stamp >= connection->began) {
        connection->live = time;
        note(&to_live, time - connection->began);
    }
}

/* At the end of a line: counts `data` lines, and notices the last chunk, which is a line of `0` and an empty one. */
static int end_line(struct connection *connection)
{
    const char *line = connection->line;
    int empty = connection->length == 1 && line[0] == '\r';
    int ended = connection->after_last && empty;
    connection->after_last = connection->length == 2 && line[0] == '0' && line[1] == '\r';
    events += connection->length > 4 && memcmp(line, "data", 4) == 0;
    connection->length = 0;
    return ended;
}

static int scan(struct connection *connection, const char *data, size_t size, uint64_t time)
{
    int ended = 0;
    for (size_t i = 0; i < size; i++) {
        char byte = data[i];
        if (connection->in_stamp) {
            if (byte >= '0' && byte <= '9') {
                connection->stamp = connection->stamp * 10 + (uint64_t)(byte - '0');
                connection->digits++;
            } else {
                connection->in_stamp = 0;
                if (byte == ';' && connection->digits == STAMP_DIGITS)
                    stamped(connection, time);
            }
        } else if (byte == '@') {
            tokens++;
            connection->tokens++;
            connection->in_stamp = 1;
            connection->digits = 0;
            connection->stamp = 0;
        }
        if (byte == '\n')
            ended += end_line(connection);
        else {
            if (connection->length < 4)
                connection->line[connection->length] = byte;
            connection->length++;
        }
    }
    return ended;
}

/* The first bytes are the answer to the handshake, up to an empty line; gives their number. */
static size_t switch_protocols(struct connection *connection, const char *data, size_t size)
{
    size_t used = 0;
    while (used < size && EMPTY_LINE[connection->switching]) {
        char byte = data[used++];
        connection->switching = byte == EMPTY_LINE[connection->switching] ? connection->switching + 1 : byte == '\r';
    }
    if (used && !EMPTY_LINE[connection->switching]) {
        say(connection, request + request_size, greeting_size);
        if (!greeting_size)
            head(connection);
    }
    return used;
}

/* Takes a byte of a frame's header (RFC 6455, 5.2). */
static void begin_frame(struct connection *connection, uint8_t byte)
{
    static const char PONG[] = {(char)0x8A, (char)MASKED, 0, 0, 0, 0};
    uint8_t *header = connection->header;
    header[connection->header_size++] = byte;
    int more = header[1] == 126 ? 2 : header[1] == 127 ? 8 : 0;
    if (connection->header_size < 2 + more)
        return;
    connection->payload = more ? 0 : header[1];
    for (int i = 2; i < connection->header_size; i++)
        connection->payload = connection->payload << 8 | header[i];
    connection->header_size = 0;
    int opcode = header[0] & 15;
    if (opcode == PING && header[1] == 0)
        say(connection, PONG, sizeof PONG);
    else if (opcode > 2 || header[1] & MASKED)
        fail(connection, "this frame was not expected", 27);
    else
        events++;
    head(connection);
}

static void scan_frames(struct connection *connection, const char *data, size_t size, uint64_t time)
{
    for (size_t i = switch_protocols(connection, data, size); i < size;) {
        if (!connection->payload) {
            begin_frame(connection, (uint8_t)data[i++]);
            continue;
        }
        size_t part = size - i < connection->payload ? size - i : connection->payload;
        scan(connection, data + i, part, time);
        connection->payload -= part;
        i += part;
    }
}

static void hang_up(struct connection *connection)
{
    close(connection->fd);
    closed++;
    check(connection, "", 0);
    head(connection);
    connection->length = connection->after_last = connection->in_stamp = 0;
    if (again)
        dial(connection);
}

static void take(struct connection *connection)
{
    static char data[READ_SIZE];
    ssize_t size = recv(connection->fd, data, sizeof data, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        hang_up(connection);
        return;
    }
    check(connection, data, (size_t)size);
    reads++;
    bytes += (uint64_t)size;
    if (websocket) {
        scan_frames(connection, data, (size_t)size, now());
        return;
    }
    head(connection);
    int ended = scan(connection, data, (size_t)size, now());
    ends += (uint64_t)ended;
    if (ended && again)
        ask(connection);
}

static void stall(int count)
{
    stalled = count < total ? count : total;
    for (int i = 0; i < stalled; i++) {
        connections[i].stalled = 1;
        watch(&connections[i], EPOLL_CTL_DEL, 0);
    }
}

static void resume(void)
{
    for (int i = 0; i < stalled; i++)
        if (connections[i].stalled) {
            connections[i].stalled = 0;
            watch(&connections[i], EPOLL_CTL_ADD, EPOLLIN);
        }
}

static void obey(const char *command)
{
    if (strcmp(command, "reset\n") == 0)
        reset();
    else if (strcmp(command, "report\n") == 0)
        report();
    else if (strncmp(command, "stall ", 6) == 0)
        stall(atoi(command + 6));
    else if (strcmp(command, "resume\n") == 0)
        resume();
    else
        exit(0);
}

/* Several may come at once, and the rest of standard input has to stay there for the next. */
static void listen_to_commands(void)
{
    char command[256];
    size_t size = 0;
    while (size < sizeof command - 1 && read(0, command + size, 1) == 1)
        if (command[size++] == '\n')
            break;
    command[size] = 0;
    obey(command);
}

static void read_request(void)
{
    char line[32];
    size_t length = 0;
    while (length < sizeof line - 1 && read(0, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = 0;
    request_size = (size_t)atol(line);
    request = malloc(request_size);
    for (size_t got = 0; got < request_size;) {
        ssize_t size = read(0, request + got, request_size - got);
        if (size <= 0)
            exit(2);
        got += (size_t)size;
    }
    if (websocket) {
        char *empty = memmem(request, request_size, EMPTY_LINE, 4);
        if (!empty)
            exit(2);
        greeting_size = request_size - (size_t)(empty + 4 - request);
        request_size -= greeting_size;
    }
}

int main(int count, char **arguments)
{
    if (count != 7)
        return 2;
    port = atoi(arguments[1]);
    total = atoi(arguments[2]);
    at_once = atoi(arguments[3]);
    again = atoi(arguments[4]);
    receive_buffer = atoi(arguments[5]);
    websocket = atoi(arguments[6]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc((size_t)total, sizeof *connections);
    read_request();
    epoll_fd = epoll_create1(0);
    struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &commands);
    reset();
    dial_more();
    for (;;) {
        struct epoll_event found[512];
        int size = epoll_wait(epoll_fd, found, 512, -1);
        for (int i = 0; i < size; i++) {
            struct connection *connection = found[i].data.ptr;
            if (!connection)
                listen_to_commands();
            else if (found[i].events & EPOLLOUT)
                ask(connection);
            else
                take(connection);
        }
    }
}
