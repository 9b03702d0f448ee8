/* Preloaded into PostgreSQL: fsync and fdatasync take as long as a file says.
 *
 * FAULT_DISK_FILE begins with three signed 64-bit numbers: the shortest and the longest sleep in nanoseconds, and
 * a seed. Each process draws its own sequence from the seed and its process id.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct dial {
    int64_t shortest_ns, longest_ns, seed;
};

static const volatile struct dial *dial;

__attribute__((constructor)) static void open_dial(void)
{
    const char *path = getenv("FAULT_DISK_FILE");
    if (path == NULL)
        return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *dial, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED)
        dial = page;
}

static void wait_for_disk(void)
{
    static uint64_t state;
    if (dial == NULL || dial->longest_ns <= 0)
        return;
    if (state == 0)
        state = (uint64_t)dial->seed * 2654435761u + (uint64_t)getpid();
    state = state * 6364136223846793005u + 1442695040888963407u;
    int64_t span = dial->longest_ns - dial->shortest_ns + 1;
    int64_t sleep_ns = dial->shortest_ns + (int64_t)((state >> 33) % (uint64_t)span);
    struct timespec left = {sleep_ns / 1000000000, sleep_ns % 1000000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real(file);
}

int fsync(int file)
{
    static int (*real)(int);
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real(file);
}
