/*
 * pyrunc/image: a python that starts with everything already imported.
 *
 * To start an interpreter takes 6 ms and to import what create needs another 6; to do both at install time and to
 * map the result takes under one. This program is CPython, linked from libpythonX.Y.a, and does two things:
 *
 *   image SCRIPT OUT ARGS...   (at install time, not yet an image) starts python, runs SCRIPT, which imports what a
 *                              command may need (launcher/contents.py), and writes OUT: this very program, followed by a
 *                              copy of all memory that python has written to;
 *   OUT ARGS...                maps that memory to where it was, puts right the few things in it that belong to a
 *                              process (thread, environment, arguments), and calls the function that SCRIPT chose.
 *
 * What makes it possible: the program is linked to fixed addresses (-no-pie), so its functions and variables are
 * where they were, and all memory that python asks for while the image is made comes from one region at a fixed
 * address (the linker's --wrap hands us malloc, mmap and friends, as called by python; the C library's own calls
 * are its own). The C library itself starts anew in each process and knows nothing of all this; python keeps no
 * pointer into it but through the program's own PLT, which is not part of the copy, and in variables with copy
 * relocations, which are spared.
 *
 * Emacs has started like this for forty years. The price: addresses and the seed of hashes are those of the
 * installation, not of each process. The memory is mapped from /proc/self/exe, so it is sealed with the program
 * (CVE-2019-5736), and privately, so nothing is ever written back.
 */
#define Py_BUILD_CORE 1
#include <Python.h>

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030C0000
#error "known and tried with CPython 3.11 only; without an image pyrunc is slower, not worse"
#endif

#include "internal/pycore_pystate.h"
#include "internal/pycore_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define COPY_RELOCATION R_X86_64_COPY
#elif defined(__aarch64__)
#define COPY_RELOCATION R_AARCH64_COPY
#else
#error "which relocations copy a variable of the C library into the program?"
#endif

#define PAGE 4096UL
/* Far from where programs, heaps, libraries and stacks are. */
#define REGION ((char *)0x1000000000)
#define REGION_SIZE (64UL << 20)
#define COPIED 1024

/* The program's variables, initialized or not: from the linker. */
extern char __data_start[], _end[];

/* Where the copies are in the file. In .rodata: it is written into the file, once that is done, not into memory. */
struct Contents {
    char mark[24];
    size_t variables, variables_size, region, region_size;
};
const volatile struct Contents contents = {"what is in the image", 0, 0, 0, 0};

static char *next_free;        /* in the region, while the image is made; NULL ever after */
static PyObject *resume;       /* called with the arguments, in each process */
static PyObject *environment;  /* posix.environ */

/* ---- memory ---- */

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__real_mmap64(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);

static int is_of_region(const void *memory)
{
    return (const char *)memory >= REGION && (const char *)memory < REGION + REGION_SIZE;
}

static void *take(size_t size, size_t alignment)
{
    char *taken = (char *)(((size_t)next_free + alignment - 1) & ~(alignment - 1));
    if (size > (size_t)(REGION + REGION_SIZE - taken))
        return NULL;
    next_free = taken + size;
    return taken;
}

/* A piece of the region: its size, which realloc asks for, then what python gets. Given back while the image is made
   it waits in the list of its size; what python has then is close together, and fewer pages are touched later. */
struct Piece {
    size_t size;
    struct Piece *next;
    char memory[];
};
#define SIZES (1 << 16)
static struct Piece *given_back[SIZES / 16];

static struct Piece *piece_of(void *memory)
{
    return (struct Piece *)((char *)memory - offsetof(struct Piece, memory));
}

void *__wrap_malloc(size_t size)
{
    if (next_free == NULL)
        return __real_malloc(size);
    size = (size + 15) & ~(size_t)15;
    struct Piece **list = size < SIZES ? &given_back[size / 16] : NULL, *piece = list == NULL ? NULL : *list;
    if (piece != NULL) {
        *list = piece->next;
        return piece->memory;
    }
    piece = take(offsetof(struct Piece, memory) + size, 16);
    if (piece == NULL)
        return NULL;
    piece->size = size;
    return piece->memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (next_free == NULL)
        return __real_calloc(count, size);
    size_t all;
    void *memory = __builtin_mul_overflow(count, size, &all) ? NULL : __wrap_malloc(all);
    return memory == NULL ? NULL : memset(memory, 0, all);
}

/* In a process what was in the image stays there, unused. */
void __wrap_free(void *memory)
{
    if (!is_of_region(memory)) {
        __real_free(memory);
    } else if (next_free != NULL && piece_of(memory)->size < SIZES) {
        struct Piece *piece = piece_of(memory), **list = &given_back[piece->size / 16];
        piece->next = *list;
        *list = piece;
    }
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (!is_of_region(memory))
        return memory == NULL ? __wrap_malloc(size) : __real_realloc(memory, size);
    size_t before = piece_of(memory)->size;
    if (size <= before)
        return memory;
    void *larger = __wrap_malloc(size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, memory, before);
    __wrap_free(memory);
    return larger;
}

/* Python's arenas of small objects. */
void *__wrap_mmap64(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (next_free == NULL || fd != -1)
        return __real_mmap64(where, size, protection, flags, fd, offset);
    void *memory = take(size, PAGE);
    return memory == NULL ? MAP_FAILED : memory;
}

int __wrap_munmap(void *memory, size_t size)
{
    return is_of_region(memory) ? 0 : __real_munmap(memory, size);
}

static char *page_of(const void *address)
{
    return (char *)((size_t)address & ~(PAGE - 1));
}

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) & ~(PAGE - 1);
}

/* ---- the module _syscall ---- */

/* call(number, *arguments): ints, None for NULL, and buffers, of which a bytearray may be written to. */
static PyObject *call(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    long words[7] = {0};
    Py_buffer buffers[7];
    int used = 0;
    long result = -1;
    if (count < 1 || count > 7)
        return PyErr_Format(PyExc_TypeError, "a system call has a number and up to 6 arguments");
    for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++) {
        if (PyLong_Check(arguments[i]))
            words[i] = (long)PyLong_AsUnsignedLongMask(arguments[i]);
        else if (arguments[i] != Py_None &&
                 PyObject_GetBuffer(arguments[i], &buffers[used],
                                    PyByteArray_Check(arguments[i]) ? PyBUF_WRITABLE : PyBUF_SIMPLE) == 0)
            words[i] = (long)buffers[used++].buf;
    }
    if (!PyErr_Occurred())
        result = syscall(words[0], words[1], words[2], words[3], words[4], words[5], words[6]);
    int error = errno;
    while (used > 0)
        PyBuffer_Release(&buffers[--used]);
    if (PyErr_Occurred())
        return NULL;
    errno = error;
    return result == -1 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(result);
}

/* address_of(bytearray), for structures that hold pointers: the caller keeps it alive and its size unchanged. */
static PyObject *address_of(PyObject *module, PyObject *memory)
{
    (void)module;
    Py_buffer buffer;
    if (PyObject_GetBuffer(memory, &buffer, PyBUF_WRITABLE) != 0)
        return NULL;
    PyObject *address = PyLong_FromVoidPtr(buffer.buf);
    PyBuffer_Release(&buffer);
    return address;
}

static PyMethodDef functions[] = {
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, "syscall(2); raises OSError"},
    {"address_of", address_of, METH_O, "the address of a bytearray's memory"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_syscall", NULL, 0, functions, NULL, NULL, NULL, NULL};

static PyObject *make_module(void)
{
    return PyModule_Create(&definition);
}

/* ---- at install time ---- */

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
}

/* As `python -I -S -B -X utf8 SCRIPT ARGS...` (launcher/pyrunc.c says why). */
static void start_python(int count, char **arguments)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    check(Py_PreInitialize(&before));
    PyImport_AppendInittab("_syscall", make_module);
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    check(PyConfig_SetBytesString(&config, &config.program_name, PYTHON_EXECUTABLE));
    check(PyConfig_SetBytesArgv(&config, count, arguments));
    check(Py_InitializeFromConfig(&config));
}

static int run_script(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return failed(path);
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *result = PyRun_File(file, path, Py_file_input, names, names);
    fclose(file);
    PyObject *posix = result == NULL ? NULL : PyImport_ImportModule("posix");
    environment = posix == NULL ? NULL : PyObject_GetAttrString(posix, "environ");
    resume = PyDict_GetItemString(names, "resume");
    if (resume == NULL || environment == NULL) {
        PyErr_Print();
        return 1;
    }
    Py_INCREF(resume);
    PyDict_Clear(environment);
    return 0;
}

static int put(int fd, const void *memory, size_t size, off_t place)
{
    while (size > 0) {
        ssize_t written = pwrite(fd, memory, size, place);
        if (written <= 0)
            return failed("cannot write the image");
        memory = (const char *)memory + written;
        size -= (size_t)written;
        place += written;
    }
    return 0;
}

static int write_image(const char *path)
{
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (self < 0 || fd < 0)
        return failed(path);
    size_t size = (size_t)lseek(self, 0, SEEK_END);
    char *program = __real_mmap64(NULL, size, PROT_READ, MAP_PRIVATE, self, 0);
    if (program == MAP_FAILED)
        return failed("cannot read this program");
    struct Contents empty, full;
    memcpy(&empty, (const void *)&contents, sizeof empty);
    const char *place = memmem(program, size, &empty, sizeof empty);
    if (place == NULL)
        return failed("cannot find the table of contents");
    full = empty;
    full.variables = whole_pages(size);
    full.variables_size = (size_t)(_end - page_of(__data_start));
    full.region = full.variables + whole_pages(full.variables_size);
    full.region_size = whole_pages((size_t)(next_free - REGION));
    next_free = NULL; /* so that the copy knows that it is one */
    return put(fd, program, size, 0) || put(fd, page_of(__data_start), full.variables_size, (off_t)full.variables) ||
           put(fd, REGION, full.region_size, (off_t)full.region) ||
           put(fd, &full, sizeof full, place - program);
}

static int make(int count, char **arguments)
{
    if (count < 3) {
        fputs("usage: image SCRIPT OUT ARGS...\n", stderr);
        return 2;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
    if (__real_mmap64(REGION, REGION_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0) != REGION)
        return failed("cannot have the region");
    next_free = REGION;
    start_python(count, arguments);
    return run_script(arguments[1]) || write_image(arguments[2]);
}

/* ---- in each process ---- */

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "pyrunc: cannot start from the image: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static ElfW(Addr) dynamic(ElfW(Sxword) tag)
{
    const ElfW(Dyn) *entry = _DYNAMIC;
    while (entry->d_tag != DT_NULL && entry->d_tag != tag)
        entry++;
    return entry->d_un.d_val;
}

/* The C library's variables that live in the program (environ, stdout) have their values of this process already:
   copies them out, or back in. */
static void copy_relocated(char *copies, int out)
{
    const ElfW(Rela) *relocation = (const ElfW(Rela) *)dynamic(DT_RELA);
    const ElfW(Sym) *symbols = (const ElfW(Sym) *)dynamic(DT_SYMTAB);
    size_t count = dynamic(DT_RELASZ) / sizeof *relocation, used = 0;
    for (; count-- > 0; relocation++) {
        if (ELF64_R_TYPE(relocation->r_info) != COPY_RELOCATION)
            continue;
        size_t size = symbols[ELF64_R_SYM(relocation->r_info)].st_size;
        char *variable = (char *)relocation->r_offset;
        if (used + size > COPIED)
            die("too many variables of the C library");
        memcpy(out ? copies + used : variable, out ? variable : copies + used, size);
        used += size;
    }
}

static void read_into(char *memory, size_t size, int fd, size_t place)
{
    if (size > 0 && pread(fd, memory, size, (off_t)place) != (ssize_t)size)
        die("cannot read it");
}

/* Whole pages are mapped; the first and the last may belong to somebody else as well. */
static void load_variables(int fd, size_t place)
{
    char *from = __data_start, *end = _end;
    char *first = page_of(from + PAGE - 1), *last = page_of(end);
    place += (size_t)(from - page_of(from));
    read_into(from, (size_t)(first - from), fd, place);
    if (__real_mmap64(first, (size_t)(last - first), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
                      (off_t)(place + (size_t)(first - from))) == MAP_FAILED)
        die("cannot map variables");
    read_into(last, (size_t)(end - last), fd, place + (size_t)(last - from));
}

/* What the interpreter knows of the thread that it runs in: its id, and the C library's key to its state. */
static void adopt_thread(void)
{
    PyThreadState *state = _PyRuntimeState_GetThreadState(&_PyRuntime);
    Py_tss_t *key = &_PyRuntime.gilstate.autoTSSkey;
    _PyRuntime.main_thread = state->thread_id = PyThread_get_thread_ident();
    state->native_thread_id = PyThread_get_thread_native_id();
    *key = (Py_tss_t)Py_tss_NEEDS_INIT;
    if (PyThread_tss_create(key) != 0 || PyThread_tss_set(key, state) != 0)
        die("cannot adopt the thread");
}

/* As posix does when it is imported: bytes to bytes, and of two variables of one name the first. */
static int fill_environment(char **variables)
{
    for (; *variables != NULL; variables++) {
        const char *equals = strchr(*variables, '=');
        if (equals == NULL)
            continue;
        PyObject *name = PyBytes_FromStringAndSize(*variables, equals - *variables);
        PyObject *value = PyBytes_FromString(equals + 1);
        if (name == NULL || value == NULL || PyDict_SetDefault(environment, name, value) == NULL)
            return -1;
        Py_DECREF(name);
        Py_DECREF(value);
    }
    return 0;
}

static PyObject *list_of(int count, char **arguments)
{
    PyObject *list = PyList_New(count);
    for (int i = 0; list != NULL && i < count; i++) {
        PyObject *argument = PyUnicode_DecodeFSDefault(arguments[i]);
        if (argument == NULL)
            return NULL;
        PyList_SET_ITEM(list, i, argument);
    }
    return list;
}

static int go_on(int count, char **arguments, char **variables)
{
    struct Contents here;
    char copies[COPIED];
    memcpy(&here, (const void *)&contents, sizeof here);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("/proc/self/exe");
    copy_relocated(copies, 1);
    load_variables(fd, here.variables);
    if (__real_mmap64(REGION, here.region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
                      (off_t)here.region) != REGION)
        die("cannot map memory");
    copy_relocated(copies, 0);
    close(fd);
    adopt_thread();
    PyObject *list = list_of(count, arguments);
    if (list == NULL || fill_environment(variables) != 0 || PyObject_CallOneArg(resume, list) == NULL)
        PyErr_Print();
    _exit(1); /* resume ends the process itself */
}

int main(int count, char **arguments, char **variables)
{
    return contents.variables != 0 ? go_on(count, arguments, variables) : make(count, arguments);
}
