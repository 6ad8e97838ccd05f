/* tool: what busybox lacks for the conformance tests. No C library, x86_64; built by the Makefile beside it, and the
 * binary is committed: no compiler is needed to run the tests.
 *
 *   tool pause       sleeps until TERM or INT, and reaps orphans
 *   tool euid        prints "Effective uid: N"
 *   tool grpc PORT   a gRPC health server (grpc.health.v1.Health/Check): every service is SERVING. HTTP/2 (RFC 9113) as
 *                    far as one unary call needs it: request headers are not read. */

#define SYS_read 0
#define SYS_write 1
#define SYS_close 3
#define SYS_rt_sigaction 13
#define SYS_pause 34
#define SYS_socket 41
#define SYS_accept 43
#define SYS_bind 49
#define SYS_listen 50
#define SYS_setsockopt 54
#define SYS_fork 57
#define SYS_wait4 61
#define SYS_geteuid 107
#define SYS_exit_group 231
#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define SA_RESTORER 0x04000000
#define SA_NOCLDWAIT 2

typedef unsigned char byte;

static long call(long number, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

__attribute__((naked)) static void restore(void) { __asm__("mov $15, %eax; syscall"); }
static void leave(int signal) { (void)signal; call(SYS_exit_group, 0, 0, 0, 0, 0); }
static void nothing(int signal) { (void)signal; }

static void on(int signal, void (*handler)(int), unsigned long flags)
{
    struct kernel_sigaction action = {handler, SA_RESTORER | flags, restore, 0};
    call(SYS_rt_sigaction, signal, (long)&action, 0, 8, 0);
}

static long number(const char *text)
{
    long found = 0;
    while (*text >= '0' && *text <= '9')
        found = found * 10 + *text++ - '0';
    return found;
}

__attribute__((noreturn)) static void pause_for_ever(void)
{
    on(SIGCHLD, nothing, 0);
    for (;;) {
        while (call(SYS_wait4, -1, 0, 1, 0, 0) > 0)
            ;
        call(SYS_pause, 0, 0, 0, 0, 0);
    }
}

static int euid(void)
{
    static char line[] = "Effective uid: ";
    char digits[12];
    int at = sizeof digits;
    long id = call(SYS_geteuid, 0, 0, 0, 0, 0);
    digits[--at] = '\n';
    do
        digits[--at] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    call(SYS_write, 1, (long)line, sizeof line - 1, 0, 0);
    call(SYS_write, 1, (long)(digits + at), (long)sizeof digits - at, 0, 0);
    return 0;
}

static int take(int socket, byte *into, int count)
{
    int got = 0;
    while (got < count) {
        long more = call(SYS_read, socket, (long)(into + got), count - got, 0, 0);
        if (more <= 0)
            return 0;
        got += (int)more;
    }
    return 1;
}

static void put(int socket, int type, int flags, const byte *stream, const byte *data, int count)
{
    byte frame[128] = {0, 0, (byte)count, (byte)type, (byte)flags, stream[0], stream[1], stream[2], stream[3]};
    for (int i = 0; i < count; i++)
        frame[9 + i] = data[i];
    call(SYS_write, socket, (long)frame, 9 + count, 0, 0);
}

static void serve(int socket)
{
    /* :status 200 is entry 8 of the static table, content-type entry 31; the rest are literals without an index */
    static const byte head[] = "\x88\x0f\x10\x10" "application/grpc";
    static const byte serving[] = {0, 0, 0, 0, 2, 8, 1};
    static const byte tail[] = "\x00\x0bgrpc-status\x01" "0";
    static const byte none[4];
    byte frame[9], data[16384];
    if (!take(socket, data, 24)) /* the client's preface */
        return;
    put(socket, 4, 0, none, none, 0);
    while (take(socket, frame, 9)) {
        int length = frame[0] << 16 | frame[1] << 8 | frame[2], type = frame[3], flags = frame[4];
        if (length > (int)sizeof data || !take(socket, data, length))
            return;
        if (type == 4 && !(flags & 1))
            put(socket, 4, 1, none, none, 0);
        if (type == 6 && !(flags & 1))
            put(socket, 6, 1, none, data, 8);
        if ((type == 0 || type == 1) && flags & 1) { /* the request ends */
            put(socket, 1, 4, frame + 5, head, sizeof head - 1);
            put(socket, 0, 0, frame + 5, serving, sizeof serving);
            put(socket, 1, 5, frame + 5, tail, sizeof tail - 1);
        }
    }
}

static int grpc(long port)
{
    byte address[16] = {2, 0, (byte)(port >> 8), (byte)port};
    int one = 1, server = (int)call(SYS_socket, 2, 1, 0, 0, 0);
    on(SIGCHLD, nothing, SA_NOCLDWAIT);
    call(SYS_setsockopt, server, 1, 2, (long)&one, sizeof one);
    if (server < 0 || call(SYS_bind, server, (long)address, sizeof address, 0, 0) ||
        call(SYS_listen, server, 16, 0, 0, 0))
        return 1;
    for (;;) {
        int client = (int)call(SYS_accept, server, 0, 0, 0, 0);
        if (client < 0)
            continue;
        if (call(SYS_fork, 0, 0, 0, 0, 0) == 0) {
            serve(client);
            return 0;
        }
        call(SYS_close, client, 0, 0, 0, 0);
    }
}

__attribute__((used)) static int run(long count, char **words)
{
    on(SIGTERM, leave, 0);
    on(SIGINT, leave, 0);
    if (count > 1 && words[1][0] == 'p')
        pause_for_ever();
    if (count > 1 && words[1][0] == 'e')
        return euid();
    if (count > 2 && words[1][0] == 'g')
        return grpc(number(words[2]));
    return 2;
}

__attribute__((naked)) void _start(void)
{
    __asm__("mov (%rsp), %rdi; lea 8(%rsp), %rsi; and $-16, %rsp; call run; mov %eax, %edi; mov $231, %eax; syscall");
}
