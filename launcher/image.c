/*
 * pyrunc/image: a python that starts with everything already imported.
 *
 * To start an interpreter takes 6 ms and to import what create needs another 6; to do both at install time and to
 * map the result takes under one. This program is CPython, linked from libpythonX.Y.a, and does two things:
 *
 *   image SCRIPT OUT ARGS...   (at install time, not yet an image) starts python, runs SCRIPT, which imports what a
 *                              command may need (launcher/contents.py), does both once more for the sake of order
 *                              (region.h), and writes OUT: this very program, followed by a copy of all memory that
 *                              python has written to;
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

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030E0000
#error "known and tried with CPython 3.11, 3.12 and 3.13 only"
#elif defined(Py_GIL_DISABLED)
#error "not known: a python without the global lock keeps its objects in memory of each thread's own"
#elif defined(Py_DEBUG)
#error "not tried: a python that was compiled for debugging"
#endif

#include "internal/pycore_pymem.h"
#include "internal/pycore_pystate.h"
#include "internal/pycore_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region.h"

#if defined(__x86_64__)
#define COPY_RELOCATION R_X86_64_COPY
#elif defined(__aarch64__)
#define COPY_RELOCATION R_AARCH64_COPY
#else
#error "which relocations copy a variable of the C library into the program?"
#endif

#define COPIED 1024

/* The program's variables, initialized or not: from the linker. */
extern char __data_start[], _end[];

/* Where the copies are in the file. In .rodata: it is written into the file, once that is done, not into memory. */
struct Contents {
    char mark[24];
    size_t variables, variables_size, region, region_size;
};
const volatile struct Contents contents = {"what is in the image", 0, 0, 0, 0};

static PyObject *resume;       /* called with the arguments, in each process */
static PyObject *environment;  /* posix.environ */
static PyThreadState *thread;  /* the interpreter's only one */

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

static PyObject *make_syscall(void)
{
    return PyModule_Create(&definition);
}

#ifdef WITHOUT_SHA2
/* In the place of the one that tools/image.py has left out. */
PyMODINIT_FUNC PyInit__sha2(void);
PyMODINIT_FUNC PyInit__sha2(void)
{
    return PyErr_Format(PyExc_ImportError, "_sha2 is not part of the image");
}
#endif

/* ---- relocations ---- */

static ElfW(Addr) dynamic(ElfW(Sxword) tag)
{
    const ElfW(Dyn) *entry = _DYNAMIC;
    while (entry->d_tag != DT_NULL && entry->d_tag != tag)
        entry++;
    return entry->d_un.d_val;
}

struct Relocations {
    const ElfW(Rela) *first;
    size_t count;
};

static struct Relocations relocations(void)
{
    const ElfW(Rela) *first = (const ElfW(Rela) *)dynamic(DT_RELA);
    return (struct Relocations){first, dynamic(DT_RELASZ) / sizeof *first};
}

static int is_copied(const ElfW(Rela) *relocation)
{
    return ELF64_R_TYPE(relocation->r_info) == COPY_RELOCATION;
}

/* ---- the module _making, for contents.py ---- */

static void mark_dict(PyObject *object)
{
    if (object != NULL) {
        mark_piece(object);
        mark_piece(((PyDictObject *)object)->ma_keys);
        mark_piece(((PyDictObject *)object)->ma_values);
    }
}

static void mark_code(PyCodeObject *code)
{
    PyObject *parts[] = {code->co_consts, code->co_names, code->co_exceptiontable, code->co_localsplusnames,
                         code->co_localspluskinds, code->co_name, code->co_qualname};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        mark_piece(parts[i]);
}

static void mark_type(PyTypeObject *type)
{
    mark_dict(type->tp_dict);
    mark_piece(type->tp_mro);
    mark_piece(type->tp_bases);
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
        mark_piece(((PyHeapTypeObject *)type)->ht_cached_keys);
}

/* mark(object): it is one that commands touch, and so are those parts of it that nobody else has. */
static PyObject *mark(PyObject *module, PyObject *object)
{
    (void)module;
    mark_piece(object);
    if (PyDict_Check(object))
        mark_dict(object);
    else if (PyList_Check(object))
        mark_piece(((PyListObject *)object)->ob_item);
    else if (PyModule_Check(object))
        mark_dict(PyModule_GetDict(object));
    else if (PyCode_Check(object))
        mark_code((PyCodeObject *)object);
    else if (PyType_Check(object))
        mark_type((PyTypeObject *)object);
    Py_RETURN_NONE;
}

static PyMethodDef making_functions[] = {
    {"mark", mark, METH_O, "this object is one that commands touch"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef making = {PyModuleDef_HEAD_INIT, "_making", NULL, 0, making_functions, NULL, NULL, NULL, NULL};

static PyObject *make_making(void)
{
    return PyModule_Create(&making);
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
static void start_python(int count, char **arguments, unsigned long seed)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.allocator = PYMEM_ALLOCATOR_MALLOC; /* region.h: no arenas */
    check(Py_PreInitialize(&before));
    PyImport_AppendInittab("_syscall", make_syscall);
    PyImport_AppendInittab("_making", make_making);
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    config.use_hash_seed = 1; /* of this installation, the same in both rounds */
    config.hash_seed = seed;
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
    thread = PyThreadState_Get();
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
    full.region_size = close_region();
    _PyMem_SetupAllocators(PYMEM_ALLOCATOR_PYMALLOC);
    return put(fd, program, size, 0) || put(fd, page_of(__data_start), full.variables_size, (off_t)full.variables) ||
           put(fd, REGION, full.region_size, (off_t)full.region) ||
           put(fd, &full, sizeof full, place - program);
}

/* A variable that the dynamic linker has put an address into, other than one of this program, would have that of this
   process in all others. There are some if python was compiled as what shared libraries are made of (-fPIC). */
static int has_addresses_of_libraries(void)
{
    struct Relocations all = relocations();
    for (const ElfW(Rela) *each = all.first; each < all.first + all.count; each++)
        if (!is_copied(each) && (char *)each->r_offset >= __data_start && (char *)each->r_offset < _end)
            return 1;
    return 0;
}

static int make(int count, char **arguments)
{
    if (count < 3) {
        fputs("usage: image SCRIPT OUT ARGS...\n", stderr);
        return 2;
    }
    if (has_addresses_of_libraries()) {
        fputs("image: variables of this python hold addresses of shared libraries\n", stderr);
        return 1;
    }
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed || open_region() != 0)
        return failed("cannot have the region");
    pid_t first_round = fork();
    if (first_round == 0) {
        start_python(count, arguments, seed | 1);
        _exit(run_script(arguments[1]));
    }
    int status;
    if (first_round < 0 || waitpid(first_round, &status, 0) != first_round || begin_second_round() != 0)
        return failed("cannot make the image twice");
    if (status != 0)
        return 1;
    start_python(count, arguments, seed | 1);
    return run_script(arguments[1]) || write_image(arguments[2]);
}

/* ---- in each process ---- */

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "pyrunc: cannot start from the image: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* The C library's variables that live in the program (environ, stdout) have their values of this process already:
   copies them out, or back in. */
static void copy_relocated(char *copies, int out)
{
    const ElfW(Sym) *symbols = (const ElfW(Sym) *)dynamic(DT_SYMTAB);
    struct Relocations all = relocations();
    size_t used = 0;
    for (const ElfW(Rela) *each = all.first; each < all.first + all.count; each++) {
        if (!is_copied(each))
            continue;
        size_t size = symbols[ELF64_R_SYM(each->r_info)].st_size;
        char *variable = (char *)each->r_offset;
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

/* What a constructor of the program has set before main, as that of python's mimalloc does since 3.13, is what the same
   constructor had set when the image was made, and python uses mimalloc only where it has no global lock.
   Whole pages are mapped; the first and the last may belong to somebody else as well. */
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

/* A key that the C library gave to another process means nothing in this one. */
static void adopt_key(Py_tss_t *key, void *value)
{
    if (!PyThread_tss_is_created(key))
        return;
    *key = (Py_tss_t)Py_tss_NEEDS_INIT;
    if (PyThread_tss_create(key) != 0 || PyThread_tss_set(key, value) != 0)
        die("cannot adopt the thread");
}

/* What the interpreter knows of the thread that it runs in: its id, and the C library's keys to what is its own. */
static void adopt_thread(void)
{
    _PyRuntime.main_thread = thread->thread_id = PyThread_get_thread_ident();
    thread->native_thread_id = PyThread_get_thread_native_id();
#if PY_VERSION_HEX < 0x030C0000
    adopt_key(&_PyRuntime.gilstate.autoTSSkey, thread);
#else
    /* The thread's state is also in a variable of the thread, which is nobody's but the thread's to set; before,
       _PyRuntime had it. Two keys more are made when python starts: before, when there was a use for them. */
    _Py_tss_tstate = thread;
    adopt_key(&_PyRuntime.autoTSSkey, thread);
    adopt_key(&_PyRuntime.trashTSSkey, NULL);
    adopt_key(&_PyRuntime.tracemalloc.reentrant_key, NULL);
#endif
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
