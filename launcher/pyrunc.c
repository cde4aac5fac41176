/*
 * bin/pyrunc: starts `python -I -S pyrunc/frozen.pyc ARGS...`, from an interpreter that nobody can write to.
 *
 * Why not a script: the process that enters a container has its interpreter as /proc/self/exe. An image whose
 * entry point is `#!/proc/self/exe`, or a container that opens /proc/PID/exe while somebody joins it, could
 * later overwrite the host's python, which half of the system runs as root (CVE-2019-5736). So the commands
 * that enter a container run python from
 *   1. a detached, read-only overlay over the interpreter's directory: it is attached to no mount namespace, it
 *      has no upper layer to write to, and it lives exactly as long as the processes that run from it; or
 *   2. where the kernel does not allow that (an ordinary user), a copy in memory that is sealed for good.
 * pyrunc/sealing.py does the same in python, at the price of a second start of the interpreter.
 *
 * Nothing is taken from the environment, and nothing in it is changed. The build passes in what it knows:
 *   PYTHON_NAME        python3.11                 the interpreter that frozen.pyc was compiled for
 *   PYTHON_EXECUTABLE  /usr/bin/python3.11        where that one was, if nothing nearer is found
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* since Linux 6.3 */
#endif

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Overlayfs wants two lower layers where there is no upper one. /sys is there in every host and container, and
   the interpreter's own directory, being the first layer, hides whatever has the same name in it. */
#define SECOND_LAYER "/sys"

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("pyrunc: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

/* Writes formatted text into a path buffer; a path that was cut off is never used. */
static void set_path(char path[PATH_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    if (length < 0 || length >= PATH_MAX)
        die("cannot start: a path of the installation is longer than %d bytes", PATH_MAX - 1);
}

/* A caller may start us with 0, 1 or 2 closed. The next file opened would then become the container's stdio. */
static void keep_stdio_open(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2 && fcntl(fd, F_SETFD, 0) == 0);
    if (fd < 0)
        die("cannot open /dev/null: %s", strerror(errno));
    close(fd);
}

/* PREFIX of PREFIX/bin/pyrunc, whatever path, link or PATH entry we were started by. */
static void find_prefix(char prefix[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", prefix, PATH_MAX - 1);
    if (length < 0)
        die("cannot read /proc/self/exe: %s (is /proc mounted?)", strerror(errno));
    prefix[length] = '\0';
    for (int part = 0; part < 2; part++) {
        char *slash = strrchr(prefix, '/');
        if (slash == NULL)
            die("cannot start: /proc/self/exe is %s", prefix);
        *slash = '\0';
    }
}

/* The interpreter below a virtual environment is a link, and started through it python reads pyvenv.cfg, sets up
   site and runs .pth files. Started by its real path it does none of that. The link is the better guide than
   the path from the build: it was made on this machine. */
static void find_interpreter(const char *prefix, char interpreter[PATH_MAX])
{
    char candidate[PATH_MAX];
    set_path(candidate, "%s/bin/%s", prefix, PYTHON_NAME);
    if (realpath(candidate, interpreter) == NULL && realpath(PYTHON_EXECUTABLE, interpreter) == NULL)
        die("cannot find %s beside pyrunc nor at %s (was python upgraded? install pyrunc again)", PYTHON_NAME,
            PYTHON_EXECUTABLE);
}

/* Debian's own python calls the directory dist-packages outside of virtual environments. */
static void find_frozen(const char *prefix, char frozen[PATH_MAX])
{
    static const char *const directories[] = {"site-packages", "dist-packages"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        set_path(frozen, "%s/lib/%s/%s/pyrunc/frozen.pyc", prefix, PYTHON_NAME, directories[i]);
        if (access(frozen, R_OK) == 0)
            return;
    }
    die("cannot read %s: %s (install pyrunc again)", frozen, strerror(errno));
}

/* python runs what it finds on this path, often as root: a directory that everybody may write to, without the
   sticky bit, would let everybody decide what that is. */
static void refuse_writable_by_all(const char *file)
{
    char directory[PATH_MAX];
    struct stat info;
    set_path(directory, "%s", file);
    for (char *slash; (slash = strrchr(directory, '/')) != NULL && slash != directory;) {
        *slash = '\0';
        if (stat(directory, &info) < 0)
            die("cannot stat %s: %s", directory, strerror(errno));
        if ((info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX))
            die("refusing to run code from %s: everybody may write there (chmod o-w %s)", directory, directory);
    }
}

/* The command is found without knowing any flags: an argument that only looks like one costs a needless seal,
   0.3 ms, and cli makes sure again (pyrunc/sealing.py), so that a command that is missing here is only slow. */
static int enters_container(char **argv)
{
    static const char *const commands[] = {"create", "run", "exec", "restore"};
    for (; *argv != NULL; argv++)
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (strcmp(*argv, commands[i]) == 0)
                return 1;
    return 0;
}

/* The value of overlayfs's lowerdir=, where ":" separates layers and "\" escapes. */
static void set_layers(char layers[2 * PATH_MAX], const char *directory)
{
    char *end = layers;
    for (; *directory != '\0'; *end++ = *directory++)
        if (*directory == ':' || *directory == '\\')
            *end++ = '\\';
    strcpy(end, ":" SECOND_LAYER);
}

/* Returns a detached mount that shows the interpreter's directory, or -1 and errno. */
static int mount_overlay(const char *directory)
{
    char layers[2 * PATH_MAX];
    set_layers(layers, directory);
    int context = syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0)
        return -1;
    int mount = -1;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", layers, 0) == 0 &&
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    int error = errno;
    close(context);
    errno = error;
    return mount;
}

/* Fails with EBUSY while somebody holds a reference to a page, be it the kernel's own reclaim for a moment: rare,
   but then the kernel's own 150 ms of patience were not enough. */
static int add_seals(int memory)
{
    for (int try = 0; fcntl(memory, F_ADD_SEALS, ALL_SEALS) < 0; try++) {
        if (errno != EBUSY || try == 8)
            return -1;
        usleep(1000 << try);
    }
    return 0;
}

/* Returns a sealed copy of the interpreter in memory, or -1 and errno. */
static int copy_into_memory(const char *interpreter)
{
    struct stat info;
    int source = open(interpreter, O_RDONLY | O_CLOEXEC);
    if (source < 0 || fstat(source, &info) < 0)
        return -1;
    int memory = memfd_create("pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (memory < 0 && errno == EINVAL)
        memory = memfd_create("pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return -1;
    for (off_t copied = 0; copied < info.st_size;) {
        ssize_t length = sendfile(memory, source, NULL, info.st_size - copied);
        if (length <= 0)
            return -1;
        copied += length;
    }
    close(source);
    return add_seals(memory) < 0 ? -1 : memory;
}

/* CVE-2019-5736: becomes the interpreter without leaving a way to write to it. Returns only by failing: there is
   no third, unsealed try. All fds are closed on exec; the running program itself keeps the mount alive. */
static void exec_sealed(const char *interpreter, char **arguments)
{
    char directory[PATH_MAX];
    set_path(directory, "%s", interpreter);
    char *name = strrchr(directory, '/');
    *name++ = '\0';
    int mount = mount_overlay(directory);
    if (mount >= 0)
        syscall(SYS_execveat, mount, name, arguments, environ, AT_SYMLINK_NOFOLLOW);
    int overlay_error = errno;
    int memory = copy_into_memory(interpreter);
    if (memory >= 0)
        syscall(SYS_execveat, memory, "", arguments, environ, AT_EMPTY_PATH);
    die("cannot seal %s against being overwritten from a container: overlay: %s; sealed memory: %s", interpreter,
        strerror(overlay_error), strerror(errno));
}

int main(int argc, char **argv)
{
    static char prefix[PATH_MAX], interpreter[PATH_MAX], frozen[PATH_MAX];
    /* python computes sys.prefix from argv[0]. -I: no PYTHON* variables, nothing from the working directory, which
       is the bundle. -S: no site. -B: only the installer writes .pyc files. utf8: paths are bytes in disguise,
       whatever the locale. */
    static char *const fixed[] = {interpreter, "-I", "-S", "-B", "-X", "utf8", frozen};
    const size_t count = sizeof fixed / sizeof *fixed;

    keep_stdio_open();
    find_prefix(prefix);
    find_interpreter(prefix, interpreter);
    find_frozen(prefix, frozen);
    refuse_writable_by_all(frozen);

    char **own = argc > 0 ? argv + 1 : argv;
    char *arguments[count + argc + 1];
    memcpy(arguments, fixed, sizeof fixed);
    for (size_t i = 0; (arguments[count + i] = own[i]) != NULL; i++)
        ;
    if (enters_container(own))
        exec_sealed(interpreter, arguments);
    execv(interpreter, arguments);
    die("cannot execute %s: %s", interpreter, strerror(errno));
}
