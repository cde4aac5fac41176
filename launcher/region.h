/*
 * The region: the memory that python has while the image is made (image.c), and where each thing is in it.
 *
 * A process pays for each page that it writes to, 2 microseconds, and again for most of them after a fork; and python
 * writes to all that it looks at, for it counts references. So what commands touch is put together, at the beginning,
 * which makes a third fewer such pages. Where a thing goes must be known before it is there. Therefore the image is
 * made twice: in the first round, in a child, all things are there in the order in which they were asked for, and
 * those that commands touch are marked (contents.py, by the names of functions in hot.txt). In the second round the
 * same happens again, allocation by allocation, since seed and addresses are the same; the n-th piece of memory goes
 * to the beginning if the n-th piece was marked. If that went wrong it would cost time, and nothing else.
 *
 * All of python's memory comes from here, the small objects too, which have no arenas while the image is made. In a
 * process what was in the image stays there, unused once it is given back, and what is new comes from elsewhere.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
/* Far from where programs, heaps, libraries and stacks are. */
#define REGION ((char *)0x1000000000)
#define REGION_SIZE (64UL << 20)
#define UNIT 16UL
#define UNITS (REGION_SIZE / UNIT)
#define PIECES (1UL << 20)
#define LARGE (1UL << 16)

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__real_mmap64(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);

/* What was asked for with one malloc: the how-manieth it is, 0 for none, and its size in bytes. */
struct Piece {
    uint32_t number, size;
};
/* What was given back waits in the list of its size. */
struct Unused {
    struct Unused *next;
};
struct Marks {
    uint32_t count;
    size_t bytes;
    unsigned char marked[PIECES]; /* by number */
};

/* All of it only while the image is made: NULL in its processes. */
static struct Piece *pieces;    /* by place in the region, in units */
static struct Marks *marks;     /* of this round */
static const struct Marks *hot; /* of the first round, in the second one */
static char *hot_next, *hot_end;
static char *next_free;
static struct Unused *unused[2][LARGE / UNIT];
static uint32_t last_number;

static size_t end_of_region; /* in processes of the image: its size */

static int is_of_region(const void *memory)
{
    return (const char *)memory >= REGION && (const char *)memory < REGION + REGION_SIZE;
}

static char *page_of(const void *address)
{
    return (char *)((size_t)address & ~(PAGE - 1));
}

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) & ~(PAGE - 1);
}

static struct Piece *piece_of(const void *memory)
{
    return &pieces[((const char *)memory - REGION) / (ptrdiff_t)UNIT];
}

static void *take(char **next, char *end, size_t size)
{
    if (size > (size_t)(end - *next))
        return NULL;
    char *taken = *next;
    *next += size;
    return taken;
}

static void *take_piece(size_t size, int from_hot)
{
    struct Unused **list = size < LARGE ? &unused[from_hot][size / UNIT] : NULL;
    if (list == NULL || *list == NULL)
        return from_hot ? take(&hot_next, hot_end, size) : take(&next_free, REGION + REGION_SIZE, size);
    void *taken = *list;
    *list = (*list)->next;
    return taken;
}

void *__wrap_malloc(size_t size)
{
    if (next_free == NULL)
        return __real_malloc(size);
    size = size == 0 ? UNIT : (size + UNIT - 1) & ~(UNIT - 1);
    uint32_t number = ++last_number;
    void *memory = NULL;
    if (hot != NULL && number < PIECES && hot->marked[number])
        memory = take_piece(size, 1);
    if (memory == NULL)
        memory = take_piece(size, 0);
    if (memory != NULL)
        *piece_of(memory) = (struct Piece){number, (uint32_t)size};
    return memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (next_free == NULL)
        return __real_calloc(count, size);
    size_t all;
    void *memory = __builtin_mul_overflow(count, size, &all) ? NULL : __wrap_malloc(all);
    return memory == NULL ? NULL : memset(memory, 0, all);
}

void __wrap_free(void *memory)
{
    if (!is_of_region(memory)) {
        __real_free(memory);
    } else if (next_free != NULL) {
        struct Piece *piece = piece_of(memory);
        struct Unused **list = &unused[(char *)memory < hot_end][piece->size / UNIT % (LARGE / UNIT)];
        if (piece->size < LARGE) {
            ((struct Unused *)memory)->next = *list;
            *list = memory;
        }
        piece->number = 0;
    }
}

/* In a process nobody knows any more how large a piece of the image was: what follows it is copied too. */
void *__wrap_realloc(void *memory, size_t size)
{
    if (!is_of_region(memory))
        return memory == NULL ? __wrap_malloc(size) : __real_realloc(memory, size);
    size_t before = next_free != NULL ? piece_of(memory)->size : (size_t)(REGION + end_of_region - (char *)memory);
    if (next_free != NULL && size <= before)
        return memory;
    void *moved = __wrap_malloc(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, before < size ? before : size);
    __wrap_free(memory);
    return moved;
}

/* The stack of python's frames. */
void *__wrap_mmap64(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (next_free == NULL || fd != -1)
        return __real_mmap64(where, size, protection, flags, fd, offset);
    next_free += -(size_t)next_free & (PAGE - 1);
    void *memory = take(&next_free, REGION + REGION_SIZE, whole_pages(size));
    return memory == NULL ? MAP_FAILED : memory;
}

int __wrap_munmap(void *memory, size_t size)
{
    return is_of_region(memory) ? 0 : __real_munmap(memory, size);
}

/* ---- the two rounds ---- */

static void *fresh(size_t size, int sharing)
{
    void *memory = __real_mmap64(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Makes the region; what is asked for from now on comes from it. -1 and errno if it cannot be had. */
static int open_region(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
    if (__real_mmap64(REGION, REGION_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0) != REGION)
        return -1;
    pieces = fresh(UNITS * sizeof *pieces, MAP_PRIVATE);
    marks = fresh(sizeof *marks, MAP_SHARED);
    if (pieces == NULL || marks == NULL)
        return -1;
    next_free = REGION;
    return 0;
}

/* The second round, after a first one in a child: what that one has marked comes first. */
static int begin_second_round(void)
{
    hot = marks;
    marks = fresh(sizeof *marks, MAP_PRIVATE);
    if (marks == NULL)
        return -1;
    hot_next = REGION;
    next_free = hot_end = REGION + whole_pages(hot->bytes);
    return 0;
}

/* From now on memory comes from elsewhere, here and in each process of the image. Returns how much is in use. */
static size_t close_region(void)
{
    end_of_region = whole_pages((size_t)(next_free - REGION));
    next_free = hot_next = hot_end = NULL;
    pieces = NULL;
    marks = NULL;
    hot = NULL;
    memset(unused, 0, sizeof unused);
    return end_of_region;
}

/* Marks the piece that an address is in, near its beginning: python has a head of up to 32 bytes before an object. */
static void mark_piece(const void *memory)
{
    if (!is_of_region(memory))
        return;
    struct Piece *piece = piece_of(memory);
    for (int head = 0; head <= 2 && piece > pieces && piece->number == 0; head++)
        piece--;
    if (piece->number != 0 && piece->number < PIECES && !marks->marked[piece->number]) {
        marks->marked[piece->number] = 1;
        marks->count++;
        marks->bytes += piece->size;
    }
}
