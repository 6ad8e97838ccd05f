/* cni: the CNI plugin as a messenger. It hands its CNI_* environment and standard input to the node's network agent
 * over a unix socket and gives the answer back: the agent is long-lived, this program is started for every Pod.
 *
 * To the agent: "NAME=value\n" for each CNI_* variable, an empty line, standard input, end of stream.
 * From the agent: the exit code as one digit, "\n", what standard output shall be, end of stream.
 * No C library, x86_64. Built by the Makefile beside it. */

#define SYS_read 0
#define SYS_write 1
#define SYS_close 3
#define SYS_nanosleep 35
#define SYS_socket 41
#define SYS_connect 42
#define SYS_shutdown 48
#define SYS_exit_group 231
#define AF_UNIX 1
#define SOCK_STREAM 1
#define SHUT_WR 1

#define SOCKET "/run/pybernetes/cni.sock"
/* Tenths of a second. An agent that restarts, or is killed at work, is no error: what it is asked may be asked again,
 * and a DEL that fails leaves debris in the runtime. */
#define PATIENCE 80
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
static char input[1 << 18], output[1 << 16];

/* One try: -1 where the agent is not there or went away before it answered, else the exit code. */
static int ask(char **environment, long size)
{
    int agent = call(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    int code = -1;
    int sent = agent >= 0 && call(SYS_connect, agent, (long)&address, sizeof address) >= 0;
    for (char **entry = environment; sent && *entry; entry++)
        if (begins(*entry, "CNI_"))
            sent = send(agent, *entry, length(*entry)) && send(agent, "\n", 1);
    if (sent && send(agent, "\n", 1) && send(agent, input, size)) {
        long got;
        call(SYS_shutdown, agent, SHUT_WR, 0);
        while ((got = call(SYS_read, agent, (long)output, sizeof output)) > 0) {
            long skip = code < 0 ? 2 : 0; /* the agent sends its first two bytes in one piece */
            if (got < skip)
                break;
            if (code < 0)
                code = output[0] - '0';
            send(1, output + skip, got - skip);
        }
    }
    call(SYS_close, agent, 0, 0);
    return code;
}

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

    long size = 0, got;
    while ((got = call(SYS_read, 0, (long)(input + size), sizeof input - size)) > 0)
        size += got;
    if (size == sizeof input)
        fail("the network configuration is longer than 256 KiB");
    for (int patience = PATIENCE; patience; patience--) {
        int code = ask(environment, size);
        if (code >= 0)
            leave(code);
        call(SYS_nanosleep, (long)&pause, 0, 0);
    }
    fail("the pod network agent does not answer on this node");
}

__attribute__((naked)) void _start(void)
{
    __asm__("mov %rsp, %rdi; and $-16, %rsp; call begin");
}
