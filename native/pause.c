/* pause: the first process of every Pod sandbox. It holds the namespaces, reaps orphans, and ends on TERM or INT.
 * No C library, x86_64: the image is this one file. Built by the Makefile beside it. */

#define SYS_rt_sigaction 13
#define SYS_pause 34
#define SYS_wait4 61
#define SYS_exit_group 231
#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define SA_RESTORER 0x04000000
#define WNOHANG 1

static long call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

__attribute__((naked)) static void restore(void) { __asm__("mov $15, %eax; syscall"); }
static void leave(int signal) { (void)signal; call(SYS_exit_group, 0, 0, 0, 0); }
static void reap(int signal) { (void)signal; while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0); }

static void handle(int signal, void (*handler)(int))
{
    struct kernel_sigaction action = {handler, SA_RESTORER, restore, 0};
    call(SYS_rt_sigaction, signal, (long)&action, 0, 8);
}

void _start(void)
{
    handle(SIGTERM, leave);
    handle(SIGINT, leave);
    handle(SIGCHLD, reap);
    for (;;)
        call(SYS_pause, 0, 0, 0, 0);
}
