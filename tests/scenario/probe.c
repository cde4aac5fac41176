/* Looks at a container from inside, where busybox cannot: one subcommand per question, one line of JSON as the answer.
 * Linked statically, so that it runs in any root file system; also used on the host as a hook and as a leaky caller. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif
#define F_SEAL_WRITE_BIT 8

extern char **environ;

static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < 32 || *c > 126)
			fprintf(out, "\\u%04x", *c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
}

static void put_strings(FILE *out, char **texts)
{
	fputc('[', out);
	for (int i = 0; texts[i]; i++) {
		fputs(i ? "," : "", out);
		put_string(out, texts[i]);
	}
	fputc(']', out);
}

static void put_cwd(FILE *out)
{
	char path[4096];
	put_string(out, getcwd(path, sizeof path) ? path : strerrorname_np(errno));
}

/* {"pid":"pid:[4026531836]",...} of the calling process; {} where there is no /proc. */
static void put_namespaces(FILE *out)
{
	static const char *const names[] = {"pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"};
	const char *comma = "";
	fputc('{', out);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[64], link[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
		if (readlink(path, link, sizeof link - 1) < 0)
			continue;
		fprintf(out, "%s\"%s\":\"%s\"", comma, names[i], link);
		comma = ",";
	}
	fputc('}', out);
}

static int put_result(long result)
{
	if (result < 0)
		printf("{\"error\":\"%s\"}\n", strerrorname_np(errno));
	else
		printf("{\"error\":null,\"value\":%ld}\n", result);
	return 0;
}

static int self(int argc, char **argv)
{
	(void)argc;
	printf("{\"args\":");
	put_strings(stdout, argv);
	printf(",\"env\":");
	put_strings(stdout, environ);
	printf(",\"cwd\":");
	put_cwd(stdout);
	printf(",\"ns\":");
	put_namespaces(stdout);
	printf(",\"pid\":%d,\"ppid\":%d,\"sid\":%d,\"personality\":%d}\n", getpid(), getppid(), getsid(0), personality(0xffffffff));
	return 0;
}

static int ids(int argc, char **argv)
{
	(void)argc, (void)argv;
	uid_t u[3];
	gid_t g[3], groups[64];
	mode_t mask = umask(0);
	getresuid(u, u + 1, u + 2);
	getresgid(g, g + 1, g + 2);
	int n = getgroups(64, groups);
	printf("{\"uid\":[%d,%d,%d],\"gid\":[%d,%d,%d],\"umask\":%d,\"groups\":[", u[0], u[1], u[2], g[0], g[1], g[2], mask);
	for (int i = 0; i < n; i++)
		printf("%s%d", i ? "," : "", groups[i]);
	printf("]}\n");
	return 0;
}

static int rlimits(int argc, char **argv)
{
	(void)argc, (void)argv;
	static const char *const names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
		"MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
	putchar('{');
	for (int i = 0; i < 16; i++) {
		struct rlimit64 limit;
		getrlimit64(i, &limit);
		printf("%s\"RLIMIT_%s\":[%llu,%llu]", i ? "," : "", names[i],
			(unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	}
	puts("}");
	return 0;
}

/* Open descriptors with what they lead to, the one that lists them left out. */
static int fds(int argc, char **argv)
{
	(void)argc, (void)argv;
	const char *comma = "";
	putchar('{');
	for (int fd = 0; fd < 1024; fd++) {
		char path[64], link[4096] = "?";
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t size = readlink(path, link, sizeof link - 1);
		if (size > 0)
			link[size] = 0;
		printf("%s\"%d\":", comma, fd);
		put_string(stdout, link);
		comma = ",";
	}
	puts("}");
	return 0;
}

/* Signals that are not at their default action, and signals that are blocked. */
static int signals(int argc, char **argv)
{
	(void)argc, (void)argv;
	sigset_t blocked;
	const char *comma = "";
	printf("{\"not_default\":[");
	for (int i = 1; i < 65; i++) {
		struct sigaction action;
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
			printf("%s%d", comma, i), comma = ",";
	}
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	printf("],\"blocked\":[");
	comma = "";
	for (int i = 1; i < 65; i++)
		if (sigismember(&blocked, i) == 1)
			printf("%s%d", comma, i), comma = ",";
	puts("]}");
	return 0;
}

static int open_(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "r";
	int flags = strcmp(mode, "w") == 0 ? O_WRONLY : strcmp(mode, "rw") == 0 ? O_RDWR : O_RDONLY;
	return put_result(open(argv[1], flags | O_NONBLOCK | O_NOCTTY));
}

static int mknod_(int argc, char **argv)
{
	(void)argc;
	mode_t kind = *argv[2] == 'b' ? S_IFBLK : *argv[2] == 'p' ? S_IFIFO : S_IFCHR;
	return put_result(mknod(argv[1], kind | 0600, makedev(atoi(argv[3]), atoi(argv[4]))));
}

static int stat_(int argc, char **argv)
{
	const char *comma = "";
	putchar('{');
	for (int i = 1; i < argc; i++) {
		struct stat s;
		printf("%s", comma);
		put_string(stdout, argv[i]);
		comma = ",";
		if (lstat(argv[i], &s) < 0) {
			printf(":null");
			continue;
		}
		const char *kind = S_ISCHR(s.st_mode) ? "c" : S_ISBLK(s.st_mode) ? "b" : S_ISFIFO(s.st_mode) ? "p"
			: S_ISLNK(s.st_mode) ? "l" : S_ISDIR(s.st_mode) ? "d" : "f";
		printf(":{\"type\":\"%s\",\"major\":%u,\"minor\":%u,\"mode\":%u,\"uid\":%u,\"gid\":%u}", kind,
			major(s.st_rdev), minor(s.st_rdev), s.st_mode & 07777, s.st_uid, s.st_gid);
	}
	puts("}");
	return 0;
}

static int syscall_(int argc, char **argv)
{
	long a[7] = {0};
	for (int i = 1; i < argc && i < 8; i++)
		a[i - 1] = strtol(argv[i], NULL, 0);
	return put_result(syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]));
}

static int tty(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct winsize size = {0};
	int console = open("/dev/console", O_RDWR | O_NOCTTY);
	int controlling = open("/dev/tty", O_RDWR);
	struct stat in, dev;
	int same = fstat(0, &in) == 0 && fstat(console, &dev) == 0 && in.st_rdev == dev.st_rdev;
	const char *name = ttyname(0);
	ioctl(0, TIOCGWINSZ, &size);
	printf("{\"isatty\":[%d,%d,%d],\"rows\":%d,\"cols\":%d,\"controlling\":%s,\"console\":%s,\"name\":", isatty(0), isatty(1),
		isatty(2), size.ws_row, size.ws_col, controlling >= 0 ? "true" : "false", same ? "true" : "false");
	put_string(stdout, name ? name : strerrorname_np(errno));
	puts("}");
	return 0;
}

static int tiocsti(int argc, char **argv)
{
	(void)argc, (void)argv;
	int fd = open("/dev/tty", O_RDWR);
	return put_result(ioctl(fd < 0 ? 0 : fd, TIOCSTI, "x"));
}

static void say_signal(int number)
{
	char text[8];
	int size = snprintf(text, sizeof text, "%d\n", number);
	if (write(1, text, (size_t)size) < 0)
		_exit(1);
}

/* Write the number of every signal that arrives, until SIGKILL. */
static int trap(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (int i = 1; i < 65; i++)
		signal(i, say_signal);
	puts("ready");
	fflush(stdout);
	while (pause() < 0)
		;
	return 0;
}

static int sleep_(int argc, char **argv)
{
	(void)argc, (void)argv;
	while (pause() < 0)
		;
	return 0;
}

static int exit_(int argc, char **argv)
{
	(void)argc;
	return atoi(argv[1]);
}

static int die(int argc, char **argv)
{
	(void)argc;
	raise(atoi(argv[1]));
	return 0;
}

/* Touch so many MiB, then say so. */
static int memory(int argc, char **argv)
{
	(void)argc;
	size_t size = (size_t)atoi(argv[1]) << 20;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return put_result(-1);
	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)area)[i] = 1;
	return put_result(atoi(argv[1]));
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Compute for so many seconds of wall time; which share of one core was it? */
static int burn(int argc, char **argv)
{
	(void)argc;
	double start = now(), seconds = atof(argv[1]), spent;
	struct rusage use;
	while ((spent = now() - start) < seconds)
		;
	getrusage(RUSAGE_SELF, &use);
	double cpu = use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
	printf("{\"percent\":%.1f}\n", 100 * cpu / spent);
	return 0;
}

/* How many processes can run at once, ourselves included, up to so many? */
static int forks(int argc, char **argv)
{
	(void)argc;
	int wanted = atoi(argv[1]), made = 1;
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
	const char *why = made < wanted ? strerrorname_np(errno) : "";
	printf("{\"processes\":%d,\"error\":\"%s\"}\n", made, why);
	for (int i = 1; i < made; i++)
		kill(children[i], SIGKILL);
	return 0;
}

static int clocks(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct timespec monotonic, boot;
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	printf("{\"monotonic\":%ld,\"boottime\":%ld}\n", monotonic.tv_sec, boot.tv_sec);
	return 0;
}

/* Could a descriptor's file be opened anew and written to once nobody executes it any more? Not if it is a sealed memfd, or
 * on a read-only mount. Trying is no answer while somebody does execute it: ETXTBSY comes first. Nothing is written. */
static int reopen(int argc, char **argv)
{
	(void)argc;
	char path[64], link[4096] = "";
	snprintf(path, sizeof path, "/proc/self/fd/%s", argv[1]);
	if (readlink(path, link, sizeof link - 1) < 0)
		return put_result(-1);
	struct statvfs system = {0};
	int seals = fcntl(atoi(argv[1]), F_GET_SEALS);
	int sealed = (seals > 0 && (seals & F_SEAL_WRITE_BIT))
		|| (fstatvfs(atoi(argv[1]), &system) == 0 && (system.f_flag & ST_RDONLY));
	const char *error = open(path, O_WRONLY) < 0 ? strerrorname_np(errno) : "";
	printf("{\"file\":");
	put_string(stdout, link);
	printf(",\"sealed\":%s,\"error\":\"%s\"}\n", sealed ? "true" : "false", error);
	return 0;
}

/* hook LOG LABEL [EXIT-CODE]: append what a hook sees to LOG, one JSON object a line. */
static int hook(int argc, char **argv)
{
	static char state[65536];
	size_t size = fread(state, 1, sizeof state - 1, stdin);
	state[size] = 0;
	FILE *log = fopen(argv[1], "a");
	if (!log)
		return 99;
	fprintf(log, "{\"label\":");
	put_string(log, argc > 2 ? argv[2] : "");
	fprintf(log, ",\"env\":");
	put_strings(log, environ);
	fprintf(log, ",\"args\":");
	put_strings(log, argv);
	fprintf(log, ",\"cwd\":");
	put_cwd(log);
	fprintf(log, ",\"ns\":");
	put_namespaces(log);
	fprintf(log, ",\"stdin\":");
	put_string(log, state);
	fprintf(log, "}\n");
	fclose(log);
	return argc > 3 ? atoi(argv[3]) : 0;
}

/* leak FIRST LAST PATH PROGRAM...: run a program with PATH open on all those descriptors, as careless callers do. */
static int leak(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	int fd = open(argv[3], O_RDONLY);
	for (int i = atoi(argv[1]); i <= atoi(argv[2]); i++)
		if (i != fd)
			dup2(fd, i);
	if (fd < atoi(argv[1]) || fd > atoi(argv[2]))
		close(fd);
	execv(argv[4], argv + 4);
	return 127;
}

/* notify MESSAGE: sd_notify(3). */
static int notify(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (argc < 2 || !path || strlen(path) >= sizeof to.sun_path)
		return 2;
	strcpy(to.sun_path, path);
	return sendto(fd, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&to, sizeof to) < 0;
}

static char sights[512][512];
static int seen;

static void see(const char *kind, const char *what)
{
	char sight[512];
	snprintf(sight, sizeof sight, "%s %.480s", kind, what);
	for (int i = 0; i < seen; i++)
		if (strcmp(sights[i], sight) == 0)
			return;
	if (seen < 512)
		strcpy(sights[seen++], sight);
}

static void see_link(const char *kind, const char *path)
{
	char link[480];
	ssize_t size = readlink(path, link, sizeof link - 1);
	if (size < 0)
		return;
	link[size] = 0;
	see(kind, link);
}

static void see_process(const char *pid)
{
	char path[512];
	struct stat ours, theirs;
	snprintf(path, sizeof path, "/proc/%.20s/root/.", pid);
	if (stat("/", &ours) == 0 && stat(path, &theirs) == 0)
		see("root", ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino ? "ours" : "another");
	snprintf(path, sizeof path, "/proc/%.20s/cwd", pid);
	see_link("cwd", path);
	snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
	see_link("exe", path);
	snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	DIR *folder = opendir(path);
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		snprintf(path, sizeof path, "/proc/%.20s/fd/%.20s", pid, entry->d_name);
		if (atoi(entry->d_name) > 2)
			see_link("fd", path);
	}
	if (folder)
		closedir(folder);
}

/* watch FILE: look at all other processes, over and over until FILE is there; then tell everything that was seen. */
static int watch(int argc, char **argv)
{
	(void)argc;
	while (access(argv[1], F_OK) < 0) {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; proc && (entry = readdir(proc));)
			if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != getpid())
				see_process(entry->d_name);
		if (proc)
			closedir(proc);
	}
	char *all[513] = {0};
	for (int i = 0; i < seen; i++)
		all[i] = sights[i];
	put_strings(stdout, all);
	puts("");
	return 0;
}

static const struct {
	const char *name;
	int (*answer)(int, char **);
} commands[] = {{"self", self}, {"ids", ids}, {"rlimits", rlimits}, {"fds", fds}, {"signals", signals}, {"open", open_},
	{"mknod", mknod_}, {"stat", stat_}, {"syscall", syscall_}, {"tty", tty}, {"tiocsti", tiocsti}, {"trap", trap},
	{"sleep", sleep_}, {"exit", exit_}, {"die", die}, {"memory", memory}, {"burn", burn}, {"forks", forks},
	{"clocks", clocks}, {"reopen", reopen}, {"hook", hook}, {"leak", leak}, {"notify", notify},
	{"watch", watch}};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].answer(argc - 1, argv + 1);
	fprintf(stderr, "probe: no such question\n");
	return 2;
}
