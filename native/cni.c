/* cni: the CNI plugin as a messenger. It hands its CNI_* environment and standard input to the node's network agent
 * over a unix socket and gives the answer back: the agent is long-lived, this program is started for every Pod.
 *
 * To the agent: "NAME=value\n" for each CNI_* variable, an empty line, standard input, end of stream.
 * From the agent: the exit code as one digit, "\n", what standard output shall be, end of stream.
 * No C library, x86_64. Built by the Makefile beside it. */

#define SYS_read 0
#define SYS_write 1
#define SYS_nanosleep 35
#define SYS_socket 41
#define SYS_connect 42
#define SYS_shutdown 48
#define SYS_exit_group 231
#define AF_UNIX 1
#define SOCK_STREAM 1
#define SHUT_WR 1

#define SOCKET "/run/pybernetes/cni.sock"
#define PATIENCE 80 /* tenths of a second: an agent that restarts is not an error, and a DEL that fails leaves debris */
#define OVERRIDE "PYBERNETES_CNI_SOCKET="

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static unsigned long length(const char *text)
{
    unsigned long n = 0;
    while (text[n]) {
        __asm__ volatile("" : "+r"(n)); /* or the compiler calls strlen, which there is none of */
        n++;
    }
    return n;
}

static int begins(const char *text, const char *with)
{
    for (; *with; text++, with++)
        if (*text != *with)
            return 0;
    return 1;
}

static int send(int to, const char *data, unsigned long size)
{
    while (size) {
        long sent = call(SYS_write, to, (long)data, size);
        if (sent <= 0)
            return 0;
        data += sent;
        size -= sent;
    }
    return 1;
}

__attribute__((noreturn)) static void leave(int code)
{
    for (;;)
        call(SYS_exit_group, code, 0, 0);
}

__attribute__((noreturn)) static void fail(const char *why)
{
    static const char head[] = "{\"cniVersion\":\"0.4.0\",\"code\":11,\"msg\":\"";
    static const char tail[] = "\",\"details\":\"the node's network agent listens on " SOCKET "\"}\n";
    send(1, head, sizeof head - 1);
    send(1, why, length(why));
    send(1, tail, sizeof tail - 1);
    leave(1);
}

static const struct { long seconds, nanoseconds; } pause = {0, 100000000};
static struct { unsigned short family; char path[108]; } address;
static char buffer[65536];

__attribute__((noreturn, used)) static void begin(long *stack)
{
    char **environment = (char **)(stack + 1 + *stack + 1);
    const char *path = SOCKET;
    for (char **entry = environment; *entry; entry++)
        if (begins(*entry, OVERRIDE))
            path = *entry + sizeof OVERRIDE - 1;
    address.family = AF_UNIX;
    for (unsigned i = 0; path[i] && i < sizeof address.path - 1; i++)
        address.path[i] = path[i];

    int agent = call(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    int patience = PATIENCE;
    while (call(SYS_connect, agent, (long)&address, sizeof address) < 0) {
        if (patience-- == 0)
            fail("the pod network agent does not run on this node");
        call(SYS_nanosleep, (long)&pause, 0, 0);
    }
    for (char **entry = environment; *entry; entry++)
        if (begins(*entry, "CNI_"))
            if (!send(agent, *entry, length(*entry)) || !send(agent, "\n", 1))
                fail("the pod network agent went away");
    if (!send(agent, "\n", 1))
        fail("the pod network agent went away");
    long got;
    while ((got = call(SYS_read, 0, (long)buffer, sizeof buffer)) > 0)
        if (!send(agent, buffer, got))
            fail("the pod network agent went away");
    call(SYS_shutdown, agent, SHUT_WR, 0);

    int code = -1;
    while ((got = call(SYS_read, agent, (long)buffer, sizeof buffer)) > 0) {
        long skip = 0;
        if (code < 0) {
            if (got < 2) /* the agent sends its first two bytes in one piece */
                fail("the pod network agent gave half an answer");
            code = buffer[0] - '0';
            skip = 2;
        }
        send(1, buffer + skip, got - skip);
    }
    if (code < 0)
        fail("the pod network agent gave no answer");
    leave(code);
}

__attribute__((naked)) void _start(void)
{
    __asm__("mov %rsp, %rdi; and $-16, %rsp; call begin");
}
