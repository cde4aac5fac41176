/*
 * peak FILE COMMAND [ARGUMENT ...]: runs a command and writes its peak resident memory, in KiB, to FILE.
 *
 * Across exec a process keeps the peak of what it was before, and across fork it begins with the pages of its
 * parent: whatever python starts seems to be as large as python. So something small does the starting.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage used;
    int status;
    pid_t child = argc < 3 ? -1 : fork();
    if (child == 0) {
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        return 126;
    FILE *file = fopen(argv[1], "w");
    if (file == NULL || fprintf(file, "%ld\n", used.ru_maxrss) < 0 || fclose(file) != 0)
        return 126;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
