/*
 * The system calls of this machine, and a program's beginning, without a C library.
 *
 * Before main a C library asks the processor what it can do. In a virtual machine each of those fifty cpuid
 * instructions is a trip to the hypervisor: 0.28 ms of the 0.42 that a statically linked empty program takes, and
 * every command of pyrunc would pay it. For machines that are not known here, the C library does it after all.
 */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <stddef.h>

/* Runs the program; what it returns is the exit code. */
static int run(char **argv, char **environment);

#if defined(FREESTANDING) && defined(__x86_64__)

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");

static long kernel(long number, long a, long b, long c, long d, long e)
{
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(FREESTANDING) && defined(__aarch64__)

__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl start\n");

static long kernel(long number, long a, long b, long c, long d, long e)
{
    register long which __asm__("x8") = number;
    register long first __asm__("x0") = a;
    register long second __asm__("x1") = b;
    register long third __asm__("x2") = c;
    register long fourth __asm__("x3") = d;
    register long fifth __asm__("x4") = e;
    __asm__ volatile("svc #0"
                     : "+r"(first)
                     : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth)
                     : "memory");
    return first;
}

#elif defined(FREESTANDING)
#error "the calling convention of this machine's kernel is not known: compile without FREESTANDING"
#else

#include <errno.h>
#include <unistd.h>

static long kernel(long number, long a, long b, long c, long d, long e)
{
    long result = syscall(number, a, b, c, d, e);
    return result < 0 ? -errno : result;
}

int main(int argc, char **argv, char **environment)
{
    (void)argc;
    return run(argv, environment);
}

#endif

/* call(NUMBER, up to five arguments): a system call; the result, or an error number as a negative one. */
#define call(...) call_(__VA_ARGS__, 0, 0, 0, 0, 0)
#define call_(number, a, b, c, d, e, ...) \
    kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

#ifdef FREESTANDING

/* What the kernel leaves on the stack: argc, argv, NULL, environment, NULL. */
__attribute__((used, noreturn)) static void start(long *stack)
{
    char **argv = (char **)(stack + 1);
    for (int code = run(argv, argv + stack[0] + 1);;)
        call(__NR_exit_group, code);
}

/* Compilers write calls to these two by themselves. */
void *memcpy(void *to, const void *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((char *)to)[i] = (char)value;
    return to;
}

#endif
