/*
 * Looks at a container from inside. `probe COMMAND ARGS... [-- COMMAND ARGS...]`: one question after the other, each
 * answered by one line of JSON on stdout. Statically linked: it needs nothing else in the root file system.
 *
 *   report                what the process is and has: ids, capabilities, limits, namespaces, mounts, descriptors, ...
 *   cat PATH...           the contents of files                     stat PATH...     kind, mode, owner, device number
 *   open PATH r|w|rw      whether a file can be opened so           list PATH        names in a directory
 *   mknod PATH c|b|p M N  whether a device can be made              write PATH TEXT  whether a file takes a text
 *   syscall NUMBER ARGS   what a system call returns                mkdir PATH       whether a directory can be made
 *   mount TYPE PATH       whether something can be mounted          exec PATH        whether a program can be started
 *   memory MIB            touches so much memory                    forks N          how many processes there can be
 *   burn SECONDS          which share of one processor it gets      clocks           monotonic and boot time
 *   links                 network devices: whether up, mtu, addresses                hold MIB: keeps so much, waits
 *   tiocsti               whether input can be pushed into the terminal              exit N, die SIGNAL
 *   wait                  says "ready", then waits for SIGTERM, or any other signal  trap: says each signal's number
 *   hook FILE LABEL [N]   appends to FILE what a hook gets and sees, and exits with N
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- JSON ---- */

static void put_bytes(FILE *out, const char *text, size_t size)
{
    fputc('"', out);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 32 || c > 126)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void put_string(FILE *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void put_strings(FILE *out, char **texts, int count)
{
    fputc('[', out);
    for (int i = 0; count < 0 ? texts[i] != NULL : i < count; i++) {
        fputs(i ? "," : "", out);
        put_string(out, texts[i]);
    }
    fputc(']', out);
}

/* The contents of a file as a string, null if it cannot be read. */
static void put_file(FILE *out, const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        fputs("null", out);
        return;
    }
    size_t size = 0;
    ssize_t more;
    while (size < sizeof text && (more = read(fd, text + size, sizeof text - size)) > 0)
        size += (size_t)more;
    close(fd);
    put_bytes(out, text, size);
}

static void put_link(FILE *out, const char *path)
{
    char target[4096];
    ssize_t size = readlink(path, target, sizeof target);
    if (size < 0)
        fputs("null", out);
    else
        put_bytes(out, target, (size_t)size);
}

/* {"error": null, "value": N} or {"error": "EPERM"} */
static int answer(long result)
{
    if (result < 0)
        printf("{\"error\":\"%s\"}\n", strerrorname_np(errno));
    else
        printf("{\"error\":null,\"value\":%ld}\n", result);
    return 0;
}

/* ---- report ---- */

static void put_namespaces(FILE *out)
{
    static const char *const names[] = {"pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"};
    fputc('{', out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        fprintf(out, "%s\"%s\":", i ? "," : "", names[i]);
        put_link(out, path);
    }
    fputc('}', out);
}

static void put_ids(FILE *out)
{
    uid_t u[3];
    gid_t g[3], groups[256];
    mode_t mask = umask(0);
    umask(mask);
    getresuid(u, u + 1, u + 2);
    getresgid(g, g + 1, g + 2);
    int count = getgroups(256, groups);
    fprintf(out, "\"uid\":[%d,%d,%d],\"gid\":[%d,%d,%d],\"umask\":%u,\"groups\":[", u[0], u[1], u[2], g[0], g[1], g[2], mask);
    for (int i = 0; i < count; i++)
        fprintf(out, "%s%d", i ? "," : "", groups[i]);
    fputs("]", out);
}

static void put_limits(FILE *out)
{
    static const char *const names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
                                        "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
    fputc('{', out);
    for (int i = 0; i < 16; i++) {
        struct rlimit64 limit = {0, 0};
        getrlimit64(i, &limit);
        fprintf(out, "%s\"RLIMIT_%s\":[%llu,%llu]", i ? "," : "", names[i], (unsigned long long)limit.rlim_cur,
                (unsigned long long)limit.rlim_max);
    }
    fputc('}', out);
}

static void put_descriptors(FILE *out)
{
    const char *comma = "";
    fputc('{', out);
    for (int fd = 0; fd < 4096; fd++) {
        char path[64];
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        fprintf(out, "%s\"%d\":", comma, fd);
        put_link(out, path);
        comma = ",";
    }
    fputc('}', out);
}

static void put_signals(FILE *out)
{
    const char *comma = "";
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    fputs("{\"not_default\":[", out);
    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            fprintf(out, "%s%d", comma, i), comma = ",";
    }
    fputs("],\"blocked\":[", out);
    comma = "";
    for (int i = 1; i < 65; i++)
        if (sigismember(&blocked, i) == 1)
            fprintf(out, "%s%d", comma, i), comma = ",";
    fputs("]}", out);
}

static void put_terminal(FILE *out)
{
    struct winsize size = {0};
    struct stat in = {0}, console = {0};
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    ioctl(0, TIOCGWINSZ, &size);
    int same = fstat(0, &in) == 0 && stat("/dev/console", &console) == 0 && in.st_rdev == console.st_rdev;
    fprintf(out, "{\"isatty\":[%d,%d,%d],\"rows\":%d,\"columns\":%d,\"controlling\":%s,\"console\":%s,\"name\":", isatty(0),
            isatty(1), isatty(2), size.ws_row, size.ws_col, tty >= 0 ? "true" : "false", same ? "true" : "false");
    put_link(out, "/proc/self/fd/0");
    fputc('}', out);
    if (tty >= 0)
        close(tty);
}

struct attributes {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
    unsigned util_min, util_max;
};

static void put_scheduling(FILE *out)
{
    struct attributes a = {0};
    cpu_set_t cpus;
    int mode = -1;
    unsigned long nodes[16] = {0};
    CPU_ZERO(&cpus);
    syscall(SYS_sched_getattr, 0, &a, sizeof a, 0);
    sched_getaffinity(0, sizeof cpus, &cpus);
    syscall(SYS_get_mempolicy, &mode, nodes, 1024, NULL, 0);
    fprintf(out, "{\"policy\":%u,\"flags\":%llu,\"nice\":%d,\"priority\":%u,\"runtime\":%llu,\"deadline\":%llu,\"period\":%llu,", a.policy,
            a.flags, getpriority(PRIO_PROCESS, 0), a.priority, a.runtime, a.deadline, a.period);
    fprintf(out, "\"io_priority\":%ld,\"memory_policy\":%d,\"memory_nodes\":%lu,\"affinity\":[", syscall(SYS_ioprio_get, 1, 0), mode,
            nodes[0]);
    const char *comma = "";
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &cpus))
            fprintf(out, "%s%d", comma, i), comma = ",";
    fputs("]}", out);
}

static int report(int argc, char **argv)
{
    char cwd[4096], host[256] = "", domain[256] = "";
    struct statvfs root = {0};
    gethostname(host, sizeof host);
    getdomainname(domain, sizeof domain);
    statvfs("/", &root);
    printf("{\"descriptors\":"); /* first: what follows opens some */
    put_descriptors(stdout);
    printf(",\"args\":");
    put_strings(stdout, argv, argc);
    printf(",\"env\":");
    put_strings(stdout, environ, -1);
    printf(",\"cwd\":");
    put_string(stdout, getcwd(cwd, sizeof cwd) ? cwd : strerrorname_np(errno));
    printf(",\"hostname\":");
    put_string(stdout, host);
    printf(",\"domainname\":");
    put_string(stdout, domain);
    printf(",\"pid\":%d,\"ppid\":%d,\"session\":%d,\"group\":%d,", getpid(), getppid(), getsid(0), getpgrp());
    put_ids(stdout);
    printf(",\"personality\":%d,\"dumpable\":%d,\"no_new_privileges\":%d,\"securebits\":%d,\"readonly_root\":%s", personality(0xffffffff),
           prctl(PR_GET_DUMPABLE), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECUREBITS), root.f_flag & ST_RDONLY ? "true" : "false");
    printf(",\"limits\":");
    put_limits(stdout);
    printf(",\"namespaces\":");
    put_namespaces(stdout);
    printf(",\"signals\":");
    put_signals(stdout);
    printf(",\"terminal\":");
    put_terminal(stdout);
    printf(",\"scheduling\":");
    put_scheduling(stdout);
    static const char *const files[][2] = {{"status", "/proc/self/status"}, {"mountinfo", "/proc/self/mountinfo"},
        {"cgroup", "/proc/self/cgroup"}, {"uid_map", "/proc/self/uid_map"}, {"gid_map", "/proc/self/gid_map"},
        {"setgroups", "/proc/self/setgroups"}, {"oom_score_adj", "/proc/self/oom_score_adj"},
        {"label", "/proc/self/attr/current"}, {"time_offsets", "/proc/self/timens_offsets"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        printf(",\"%s\":", files[i][0]);
        put_file(stdout, files[i][1]);
    }
    printf("}\n");
    return 0;
}

/* ---- single questions ---- */

static int cat(int argc, char **argv)
{
    putchar('{');
    for (int i = 1; i < argc; i++) {
        fputs(i > 1 ? "," : "", stdout);
        put_string(stdout, argv[i]);
        putchar(':');
        put_file(stdout, argv[i]);
    }
    puts("}");
    return 0;
}

static int stat_(int argc, char **argv)
{
    putchar('{');
    for (int i = 1; i < argc; i++) {
        struct stat s;
        fputs(i > 1 ? "," : "", stdout);
        put_string(stdout, argv[i]);
        if (lstat(argv[i], &s) < 0) {
            fputs(":null", stdout);
            continue;
        }
        const char *kind = S_ISCHR(s.st_mode) ? "c" : S_ISBLK(s.st_mode) ? "b" : S_ISFIFO(s.st_mode) ? "p"
            : S_ISLNK(s.st_mode) ? "l" : S_ISDIR(s.st_mode) ? "d" : S_ISSOCK(s.st_mode) ? "s" : "f";
        printf(":{\"type\":\"%s\",\"major\":%u,\"minor\":%u,\"mode\":%u,\"uid\":%u,\"gid\":%u,\"inode\":%llu,\"link\":", kind,
               major(s.st_rdev), minor(s.st_rdev), s.st_mode & 07777, s.st_uid, s.st_gid, (unsigned long long)s.st_ino);
        put_link(stdout, argv[i]);
        putchar('}');
    }
    puts("}");
    return 0;
}

static int list(int argc, char **argv)
{
    DIR *directory = argc > 1 ? opendir(argv[1]) : NULL;
    const char *comma = "";
    if (directory == NULL)
        return answer(-1);
    printf("{\"error\":null,\"names\":[");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        fputs(comma, stdout);
        put_string(stdout, entry->d_name);
        comma = ",";
    }
    closedir(directory);
    puts("]}");
    return 0;
}

static int open_(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[2] : "r";
    int flags = strcmp(mode, "w") == 0 ? O_WRONLY : strcmp(mode, "rw") == 0 ? O_RDWR : O_RDONLY;
    int fd = open(argv[1], flags | O_NONBLOCK | O_NOCTTY);
    answer(fd);
    if (fd >= 0)
        close(fd);
    return 0;
}

static int write_(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644);
    answer(fd < 0 ? -1 : write(fd, argv[2], strlen(argv[2])));
    if (fd >= 0)
        close(fd);
    return 0;
}

static int mknod_(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    mode_t kind = *argv[2] == 'b' ? S_IFBLK : *argv[2] == 'p' ? S_IFIFO : S_IFCHR;
    return answer(mknod(argv[1], kind | 0600, makedev((unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]))));
}

static int mkdir_(int argc, char **argv)
{
    return argc < 2 ? 2 : answer(mkdir(argv[1], 0755));
}

static int mount_(int argc, char **argv)
{
    return argc < 3 ? 2 : answer(mount("conformance", argv[2], argv[1], 0, NULL));
}

static int syscall_(int argc, char **argv)
{
    long a[7] = {0};
    for (int i = 1; i < argc && i < 8; i++)
        a[i - 1] = strtol(argv[i], NULL, 0);
    return answer(syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]));
}

/* Whether execve(2) of a file goes well; the file is run with the argument "exit", "0". */
static int exec(int argc, char **argv)
{
    int ends[2], status;
    if (argc < 2 || pipe2(ends, O_CLOEXEC) < 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        execl(argv[1], argv[1], "exit", "0", NULL);
        int error = errno;
        _exit(write(ends[1], &error, sizeof error) < 0);
    }
    close(ends[1]);
    int error = 0;
    long got = read(ends[0], &error, sizeof error);
    waitpid(child, &status, 0);
    errno = error;
    return answer(got > 0 ? -1 : status);
}

static int wait_(int argc, char **argv);

static int memory(int argc, char **argv)
{
    size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 1) << 20;
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return answer(-1);
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)area)[i] = 1;
    munmap(area, size);
    return answer((long)(size >> 20));
}

/* Keeps memory that cannot be swapped out, and says so; then waits as `wait` does. */
static int hold(int argc, char **argv)
{
    size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 1) << 20;
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || mlock(area, size) < 0)
        return answer(-1);
    memset(area, 1, size);
    return wait_(0, NULL);
}

static int forks(int argc, char **argv)
{
    int wanted = argc > 1 ? atoi(argv[1]) : 2, made = 1;
    pid_t children[256];
    while (made < wanted && made < 256) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                pause();
        if (child < 0)
            break;
        children[made++] = child;
    }
    printf("{\"error\":%s%s%s,\"value\":%d}\n", made < wanted ? "\"" : "", made < wanted ? strerrorname_np(errno) : "null",
           made < wanted ? "\"" : "", made);
    for (int i = 1; i < made; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int burn(int argc, char **argv)
{
    double start = now(), seconds = argc > 1 ? atof(argv[1]) : 1, spent;
    struct rusage use;
    while ((spent = now() - start) < seconds)
        ;
    getrusage(RUSAGE_SELF, &use);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    printf("{\"percent\":%.1f}\n", 100 * cpu / spent);
    return 0;
}

static int clocks(int argc, char **argv)
{
    struct timespec monotonic, boot;
    (void)argc, (void)argv;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    printf("{\"monotonic\":%ld,\"boottime\":%ld}\n", (long)monotonic.tv_sec, (long)boot.tv_sec);
    return 0;
}

static unsigned prefix(const unsigned char *mask, size_t size)
{
    unsigned bits = 0;
    for (size_t i = 0; i < size; i++)
        bits += (unsigned)__builtin_popcount(mask[i]);
    return bits;
}

static void put_addresses(FILE *out, struct ifaddrs *all, const char *name)
{
    const char *comma = "";
    for (struct ifaddrs *each = all; each != NULL; each = each->ifa_next) {
        int family = each->ifa_addr == NULL ? AF_UNSPEC : each->ifa_addr->sa_family;
        char text[INET6_ADDRSTRLEN];
        if (strcmp(each->ifa_name, name) != 0 || (family != AF_INET && family != AF_INET6))
            continue;
        size_t at = family == AF_INET ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr);
        inet_ntop(family, (char *)each->ifa_addr + at, text, sizeof text);
        fprintf(out, "%s\"%s/%u\"", comma, text, prefix((unsigned char *)each->ifa_netmask + at, family == AF_INET ? 4 : 16));
        comma = ",";
    }
}

/* {"lo": {"up": true, "mtu": 65536, "mac": "00:00:00:00:00:00", "addresses": ["127.0.0.1/8"]}, ...} */
static int links(int argc, char **argv)
{
    struct if_nameindex *names = if_nameindex();
    struct ifaddrs *all = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)argc, (void)argv;
    if (names == NULL || fd < 0 || getifaddrs(&all) < 0)
        return answer(-1);
    putchar('{');
    for (struct if_nameindex *each = names; each->if_index != 0; each++) {
        struct ifreq flags = {0}, mtu = {0}, mac = {0};
        strncpy(flags.ifr_name, each->if_name, IFNAMSIZ - 1);
        mtu = mac = flags;
        ioctl(fd, SIOCGIFFLAGS, &flags);
        ioctl(fd, SIOCGIFMTU, &mtu);
        ioctl(fd, SIOCGIFHWADDR, &mac);
        const unsigned char *m = (const unsigned char *)mac.ifr_hwaddr.sa_data;
        fputs(each == names ? "" : ",", stdout);
        put_string(stdout, each->if_name);
        printf(":{\"up\":%s,\"mtu\":%d,\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"addresses\":[",
               flags.ifr_flags & IFF_UP ? "true" : "false", mtu.ifr_mtu, m[0], m[1], m[2], m[3], m[4], m[5]);
        put_addresses(stdout, all, each->if_name);
        printf("]}");
    }
    puts("}");
    return 0;
}

static int tiocsti(int argc, char **argv)
{
    int fd = open("/dev/tty", O_RDWR);
    (void)argc, (void)argv;
    return answer(ioctl(fd < 0 ? 0 : fd, TIOCSTI, "x"));
}

static int exit_(int argc, char **argv)
{
    fflush(stdout);
    _exit(argc > 1 ? atoi(argv[1]) : 0);
}

static int die(int argc, char **argv)
{
    fflush(stdout);
    signal(argc > 1 ? atoi(argv[1]) : SIGKILL, SIG_DFL);
    raise(argc > 1 ? atoi(argv[1]) : SIGKILL);
    return 0;
}

static void say(int number)
{
    char text[8];
    int size = snprintf(text, sizeof text, "%d\n", number);
    if (write(1, text, (size_t)size) < 0)
        _exit(1);
}

static void stop(int number)
{
    _exit(128 + number);
}

static int wait_for_signals(void (*handler)(int), int last)
{
    for (int i = 1; i <= last; i++)
        signal(i, handler);
    puts("\"ready\"");
    fflush(stdout);
    for (;;)
        pause();
    return 0;
}

/* As pid 1 a process gets only signals that it handles. */
static int wait_(int argc, char **argv)
{
    (void)argc, (void)argv;
    return wait_for_signals(stop, SIGTERM);
}

static int trap(int argc, char **argv)
{
    (void)argc, (void)argv;
    return wait_for_signals(say, 64);
}

static int hook(int argc, char **argv)
{
    static char state[65536];
    char cwd[4096];
    if (argc < 3)
        return 2;
    size_t size = fread(state, 1, sizeof state - 1, stdin);
    FILE *log = fopen(argv[1], "a");
    if (log == NULL)
        return 99;
    flockfile(log);
    fprintf(log, "{\"label\":");
    put_string(log, argv[2]);
    fprintf(log, ",\"args\":");
    put_strings(log, argv, argc);
    fprintf(log, ",\"env\":");
    put_strings(log, environ, -1);
    fprintf(log, ",\"cwd\":");
    put_string(log, getcwd(cwd, sizeof cwd) ? cwd : strerrorname_np(errno));
    fprintf(log, ",\"namespaces\":");
    put_namespaces(log);
    fprintf(log, ",\"root\":");
    put_file(log, "/etc/conformance");
    fprintf(log, ",\"stdin\":");
    put_bytes(log, state, size);
    fprintf(log, "}\n");
    fclose(log);
    return argc > 3 ? atoi(argv[3]) : 0;
}

static const struct {
    const char *name;
    int (*run)(int, char **);
} commands[] = {{"report", report}, {"cat", cat}, {"stat", stat_}, {"list", list}, {"open", open_}, {"write", write_},
    {"mknod", mknod_}, {"mkdir", mkdir_}, {"mount", mount_}, {"syscall", syscall_}, {"exec", exec}, {"memory", memory},
    {"hold", hold}, {"links", links}, {"forks", forks}, {"burn", burn}, {"clocks", clocks}, {"tiocsti", tiocsti}, {"exit", exit_}, {"die", die}, {"wait", wait_},
    {"trap", trap}, {"hook", hook}};

static int run(int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    fprintf(stderr, "probe: no such question: %s\n", argc > 0 ? argv[0] : "");
    return 2;
}

int main(int argc, char **argv)
{
    int status = 0;
    for (int first = 1; first < argc && status == 0;) {
        int last = first;
        while (last < argc && strcmp(argv[last], "--") != 0)
            last++;
        status = run(last - first, argv + first);
        fflush(stdout);
        first = last + 1;
    }
    return status;
}
