/*
 * bin/pyrunc: starts `python -I -S pyrunc/frozen.pyc ARGS...`, from an interpreter that nobody can write to.
 * bin/containerd-shim-pyrunc-v1, which is the same program, does as `pyrunc shim ARGS...`, and always sealed.
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
#include "machine.h"

#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <stdarg.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* since Linux 6.3 */
#endif

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define CHUNK 0x40000000L

/* Overlayfs wants two lower layers where there is no upper one. /sys is there in every host and container, and
   the interpreter's own directory, being the first layer, hides whatever has the same name in it. */
#define SECOND_LAYER ":/sys"

typedef char Path[PATH_MAX];

/* ---- words ---- */

static int same(const char *one, const char *other)
{
    while (*one != '\0' && *one == *other)
        one++, other++;
    return *one == *other;
}

static int begins_with(const char *word, const char *beginning)
{
    while (*beginning != '\0' && *word == *beginning)
        word++, beginning++;
    return *beginning == '\0';
}

static char *last_slash(char *path)
{
    char *found = NULL;
    for (; *path != '\0'; path++)
        if (*path == '/')
            found = path;
    return found;
}

/* A number in words; each call overwrites the answer of the last one. */
static const char *decimal(long number)
{
    static char digits[21];
    char *first = digits + sizeof digits - 1;
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return first;
}

/* Puts words one after the other and returns the length; as long as `size` means that it did not fit. */
static size_t join(char *text, size_t size, va_list words)
{
    size_t length = 0;
    for (const char *word; (word = va_arg(words, const char *)) != NULL;)
        while (*word != '\0' && length < size - 1)
            text[length++] = *word++;
    text[length] = '\0';
    return length < size - 1 ? length : size;
}

/* die("cannot ", ..., NULL): one line on stderr, and the end. */
__attribute__((sentinel, noreturn)) static void die(const char *first, ...)
{
    char text[3 * PATH_MAX];
    va_list words;
    va_start(words, first);
    size_t length = join(text, sizeof text, words);
    va_end(words);
    size_t begin = 0;
    while (first[begin] != '\0')
        begin++;
    call(__NR_write, 2, "pyrunc: ", 8);
    call(__NR_write, 2, first, begin);
    call(__NR_write, 2, text, length < sizeof text ? length : sizeof text - 1);
    call(__NR_write, 2, "\n", 1);
    for (;;)
        call(__NR_exit_group, 1);
}

/* set_path(path, "/a", "/b", NULL): a path that was cut off is never used. */
__attribute__((sentinel)) static void set_path(char *path, ...)
{
    va_list words;
    va_start(words, path);
    if (join(path, PATH_MAX, words) >= PATH_MAX)
        die("cannot start: a path of the installation is too long: ", path, NULL);
    va_end(words);
}

/* The words of strerror(3) for what is likely here, else the error's number. */
static const char *reason(long result)
{
    static const struct {
        long error;
        const char *words;
    } known[] = {
        {EPERM, "Operation not permitted"},
        {ENOENT, "No such file or directory"},
        {ENOMEM, "Cannot allocate memory"},
        {EACCES, "Permission denied"},
        {EBUSY, "Device or resource busy"},
        {ENODEV, "No such device"},
        {ENOTDIR, "Not a directory"},
        {EINVAL, "Invalid argument"},
        {EMFILE, "Too many open files"},
        {ENOSPC, "No space left on device"},
        {ENOSYS, "Function not implemented"},
        {ELOOP, "Too many levels of symbolic links"},
        {ENOEXEC, "Exec format error"},
        {E2BIG, "Argument list too long"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == -result)
            return known[i].words;
    return decimal(-result);
}

/* ---- where things are ---- */

/* A caller may start us with 0, 1 or 2 closed. The next file opened would then become the container's stdio. */
static void keep_stdio_open(void)
{
    long fd;
    do
        fd = call(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd < 0)
        die("cannot open /dev/null: ", reason(fd), NULL);
    call(__NR_close, fd);
}

static long read_link(const char *path, char *target)
{
    long length = call(__NR_readlinkat, AT_FDCWD, path, target, PATH_MAX - 1);
    target[length < 0 ? 0 : length] = '\0';
    return length;
}

/* Where a path really leads, by the kernel's own words. Returns whether there is such a file. */
static int resolve(const char *path, Path real)
{
    Path link;
    long fd = call(__NR_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return 0;
    set_path(link, "/proc/self/fd/", decimal(fd), NULL);
    long length = read_link(link, real);
    call(__NR_close, fd);
    return length > 0;
}

/* PREFIX of PREFIX/bin/pyrunc, whatever path, link or PATH entry we were started by. Returns whether we are the shim. */
static int find_prefix(Path prefix)
{
    int shim = 0;
    long length = read_link("/proc/self/exe", prefix);
    if (length < 0)
        die("cannot read /proc/self/exe: ", reason(length), " (is /proc mounted?)", NULL);
    for (int part = 0; part < 2; part++) {
        char *slash = last_slash(prefix);
        if (slash == NULL)
            die("cannot start: /proc/self/exe does not lead to PREFIX/bin/pyrunc", NULL);
        if (part == 0)
            shim = begins_with(slash + 1, "containerd-shim-");
        *slash = '\0';
    }
    return shim;
}

/* The interpreter below a virtual environment is a link, and started through it python reads pyvenv.cfg, sets up
   site and runs .pth files. Started by its real path it does none of that. The link is the better guide than
   the path from the build: it was made on this machine. */
static void find_interpreter(const char *prefix, Path interpreter)
{
    Path candidate;
    set_path(candidate, prefix, "/bin/" PYTHON_NAME, NULL);
    if (!resolve(candidate, interpreter) && !resolve(PYTHON_EXECUTABLE, interpreter))
        die("cannot find " PYTHON_NAME " beside pyrunc nor at " PYTHON_EXECUTABLE
            " (was python upgraded? install pyrunc again)", NULL);
}

/* Debian's own python calls the directory dist-packages outside of virtual environments. */
static void find_frozen(const char *prefix, Path frozen)
{
    static const char *const directories[] = {"/site-packages", "/dist-packages"};
    long result = 0;
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        set_path(frozen, prefix, "/lib/" PYTHON_NAME, directories[i], "/pyrunc/frozen.pyc", NULL);
        result = call(__NR_faccessat, AT_FDCWD, frozen, 4 /* R_OK */);
        if (result == 0)
            return;
    }
    die("cannot read ", frozen, ": ", reason(result), " (install pyrunc again)", NULL);
}

/* python runs what it finds on this path, often as root: a directory that everybody may write to, without the
   sticky bit, would let everybody decide what that is. */
static void refuse_writable_by_all(const char *file)
{
    Path directory;
    struct statx info;
    set_path(directory, file, NULL);
    for (char *slash; (slash = last_slash(directory)) != NULL && slash != directory;) {
        *slash = '\0';
        long result = call(__NR_statx, AT_FDCWD, directory, 0, STATX_MODE, &info);
        if (result < 0)
            die("cannot stat ", directory, ": ", reason(result), NULL);
        if ((info.stx_mode & 0002) && !(info.stx_mode & 01000))
            die("refusing to run code from ", directory, ": everybody may write there (chmod o-w ", directory, ")",
                NULL);
    }
}

/* The command is found without knowing any flags: an argument that only looks like one costs a needless seal,
   0.3 ms, and cli makes sure again (pyrunc/sealing.py), so that a command that is missing here is only slow. */
static int enters_container(char **argv)
{
    static const char *const commands[] = {"create", "run", "exec", "restore"};
    for (; *argv != NULL; argv++)
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (same(*argv, commands[i]))
                return 1;
    return 0;
}

/* ---- the seal ---- */

/* The value of overlayfs's lowerdir=, where ":" separates layers and "\" escapes. */
static void set_layers(char layers[2 * PATH_MAX + sizeof SECOND_LAYER], const char *directory)
{
    static const char second[] = SECOND_LAYER;
    for (; *directory != '\0'; *layers++ = *directory++)
        if (*directory == ':' || *directory == '\\')
            *layers++ = '\\';
    for (size_t i = 0; i < sizeof second; i++)
        layers[i] = second[i];
}

/* Returns a detached mount that shows the interpreter's directory, or an error. */
static long mount_overlay(const char *directory)
{
    char layers[2 * PATH_MAX + sizeof SECOND_LAYER];
    set_layers(layers, directory);
    long context = call(__NR_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    long result = call(__NR_fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", layers, 0);
    if (result == 0)
        result = call(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (result == 0)
        result = call(__NR_fsmount, context, FSMOUNT_CLOEXEC,
                      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    call(__NR_close, context);
    return result;
}

/* Fails with EBUSY while somebody holds a reference to a page, be it the kernel's own reclaim for a moment: rare,
   but then the kernel's own 150 ms of patience were not enough. */
static long add_seals(long memory)
{
    for (long pause = 1000000;; pause *= 2) {
        long result = call(__NR_fcntl, memory, F_ADD_SEALS, ALL_SEALS);
        if (result != -EBUSY || pause > 256000000)
            return result;
        long time[] = {0, pause}; /* struct timespec: seconds, nanoseconds */
        call(__NR_nanosleep, time, NULL);
    }
}

/* Returns a sealed copy of the interpreter in memory, or an error. */
static long copy_into_memory(const char *interpreter)
{
    long source = call(__NR_openat, AT_FDCWD, interpreter, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return source;
    long memory = call(__NR_memfd_create, "pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (memory == -EINVAL)
        memory = call(__NR_memfd_create, "pyrunc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return memory;
    long copied;
    do
        copied = call(__NR_sendfile, memory, source, NULL, CHUNK);
    while (copied > 0);
    call(__NR_close, source);
    long result = copied < 0 ? copied : add_seals(memory);
    return result < 0 ? result : memory;
}

/* CVE-2019-5736: becomes the interpreter without leaving a way to write to it. There is no third, unsealed try.
   All fds are closed on exec; the running program itself keeps the mount alive. */
__attribute__((noreturn)) static void exec_sealed(const char *interpreter, char **arguments, char **environment)
{
    Path directory;
    set_path(directory, interpreter, NULL);
    char *name = last_slash(directory);
    *name++ = '\0';
    long mount = mount_overlay(directory);
    if (mount >= 0)
        mount = call(__NR_execveat, mount, name, arguments, environment, AT_SYMLINK_NOFOLLOW);
    long memory = copy_into_memory(interpreter);
    if (memory >= 0)
        memory = call(__NR_execveat, memory, "", arguments, environment, AT_EMPTY_PATH);
    die("cannot seal ", interpreter, " against being overwritten from a container: overlay: ", reason(mount),
        "; sealed memory: ", reason(memory), NULL);
}

/* The image is a python that has imported everything already (launcher/image.c): where there is one it takes no
   arguments of python's, and its own path tells it where its modules are. */
static int find_image(const char *frozen, Path image)
{
    set_path(image, frozen, NULL);
    *last_slash(image) = '\0';
    set_path(image, image, "/image", NULL);
    return call(__NR_faccessat, AT_FDCWD, image, 1 /* X_OK */) == 0;
}

static int run(char **argv, char **environment)
{
    static Path prefix, interpreter, frozen, home;
    /* python looks for its home from argv[0] upwards, and finds ours, SITE/pyrunc/home (pyrunc/_encodings.py). -I: no
       PYTHON* variables, nothing from the working directory, which is the bundle. -S: no site. -B: only the
       installer writes .pyc files. utf8: paths are bytes in disguise, whatever the locale. */
    char *const fixed[] = {home, "-I", "-S", "-B", "-X", "utf8", frozen};
    size_t before = sizeof fixed / sizeof *fixed;

    keep_stdio_open();
    int shim = find_prefix(prefix);
    find_frozen(prefix, frozen);
    refuse_writable_by_all(frozen);
    if (find_image(frozen, interpreter)) {
        set_path(home, interpreter, NULL);
        before = 1;
    } else {
        find_interpreter(prefix, interpreter);
        set_path(home, frozen, NULL);
        *last_slash(home) = '\0';
        set_path(home, home, "/home/bin/" PYTHON_NAME, NULL);
    }

    char **own = *argv == NULL ? argv : argv + 1;
    size_t count = 0;
    while (own[count] != NULL)
        count++;
    char *arguments[sizeof fixed / sizeof *fixed + count + 2];
    for (size_t i = 0; i < before; i++)
        arguments[i] = fixed[i];
    if (shim)
        arguments[before++] = "shim";
    for (size_t i = 0; i <= count; i++)
        arguments[before + i] = own[i];
    if (shim || enters_container(own))
        exec_sealed(interpreter, arguments, environment);
    long result = call(__NR_execve, interpreter, arguments, environment);
    die("cannot execute ", interpreter, ": ", reason(result), NULL);
}
