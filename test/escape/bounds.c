/* What cannot be refused is bounded. The last one may end them all, with their cgroup. */
#include "escape.h"
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#define MIB (1024L * 1024)
/* What is asked for, and how much of it is bounded. */
#define PROCESSES_ASKED 2000
#define MOST_PROCESSES 500
#define FILES_ASKED 20000
#define MOST_OPEN 5000
#define MADE_ASKED 2000
/* What a VMM has of its own: sockets, log, console. */
#define MOST_MADE 20
#define FLOOD_MIB 1024
#define MOST_FLOOD_MIB 64
#define RESERVED_MIB 128
#define MEMORY_MIB 20480
#define MOST_MEMORY_MIB 10240

static void bomb(void) {
  long made = 0;
  while (made < PROCESSES_ASKED) {
    pid_t pid = fork();
    if (pid == 0) _exit(pause());
    if (pid < 0) break;
    made++;
  }
  /* For who counts from outside. */
  nanosleep(&(struct timespec){.tv_nsec = 700 * 1000 * 1000}, NULL);
  bounded("processes", made, MOST_PROCESSES);
}

static void descriptors(void) {
  struct rlimit most;
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  long open_files = 0;
  while (open_files < FILES_ASKED && open("/dev/null", O_RDONLY) >= 0) open_files++;
  bounded("at once", open_files, MOST_OPEN);
}

/* Fills a file to its bound; answers how many MiB that were. */
static long flood(int fd) {
  static char block[MIB];
  memset(block, 'x', sizeof block);
  long had = 0;
  while (had < FLOOD_MIB && write(fd, block, sizeof block) == sizeof block) had++;
  return had;
}

/* Space that no size tells of; given back with what the file is filled with. */
static void reserve(int fd) {
  /* Of <linux/falloc.h>, which has it for the kernel alone; and with the numbers of file systems that have their own. */
  struct { short type, whence; long long start, length; int id, owner, unused[4]; } range = {.length = RESERVED_MIB * MIB};
  refused("space beyond its end", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RESERVED_MIB * MIB));
  refused("the same by its old name", ioctl(fd, _IOW('X', 42, range), &range));
  refused("an attribute", fsetxattr(fd, "user.sp-escape", "x", 1, 0));
  nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
}

static void one_file(void) {
  struct stat said, other;
  if (fstat(STDOUT_FILENO, &said) || fstat(STDERR_FILENO, &other)) return told("both", 0, "is no file");
  reserve(STDOUT_FILENO);
  signal(SIGXFSZ, SIG_IGN);
  long had = flood(STDOUT_FILENO), had_other = flood(STDERR_FILENO), had_named = 0;
  if (given_or_null("log")) had_named = flood(open_log());
  /* For who counts from outside; told when there is room for words again. */
  nanosleep(&(struct timespec){.tv_nsec = 400 * 1000 * 1000}, NULL);
  if (ftruncate(STDOUT_FILENO, said.st_size) || ftruncate(STDERR_FILENO, other.st_size)) _exit(4);
  bounded("what it says", had, MOST_FLOOD_MIB);
  bounded("its other file", had_other, MOST_FLOOD_MIB);
  if (given_or_null("log")) bounded("that by its name", had_named, MOST_FLOOD_MIB);
}

static void many_files(void) {
  char name[32];
  long made = 0;
  for (; made < MADE_ASKED; made++) {
    snprintf(name, sizeof name, "file-%ld", made);
    if (mknod(own(name), S_IFREG | 0600, 0)) break;
  }
  for (long one = 0; one < made; one++) {
    snprintf(name, sizeof name, "file-%ld", one);
    unlink(own(name));
  }
  bounded("in its folder", made, MOST_MADE);
}

static void core(void) {
  struct rlimit wanted = {RLIM_INFINITY, RLIM_INFINITY};
  refused("of any size", setrlimit(RLIMIT_CORE, &wanted));
  pid_t child = fork();
  if (child == 0) {
    if (chdir(given("folder"))) _exit(0);
    abort();
  }
  int status = 0;
  waitpid(child, &status, 0);
  told("by a crash", !WCOREDUMP(status), WCOREDUMP(status) ? "there is one" : "none");
}

static char *anonymous(long mib) {
  char *memory = mmap(NULL, (size_t)(mib * MIB), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* In a process of its own: others would inherit what it has. */
static void ask(void) {
  pid_t child = fork();
  if (child > 0) waitpid(child, NULL, 0);
  if (child != 0) return;
  long had = 0;
  while (had < MEMORY_MIB && anonymous(64)) had += 64;
  bounded("MiB of one process", had, MOST_MEMORY_MIB);
  _exit(0);
}

/* Asked for and, where a cgroup is said to bound it, used. */
static void memory(void) {
  ask();
  if (!given_or_null("touch")) return;
  told("MiB of many processes", 0, "all of it");
  for (long process = 0; process < MEMORY_MIB / 512; process++)
    if (fork() == 0) {
      char *mine = anonymous(512);
      for (long at = 0; mine && at < 512 * MIB; at += 4096) mine[at] = 1;
      _exit(pause());
    }
  pause();
}

const struct attempt BOUNDS[] = {
    {"make 2,000 processes", bomb},
    {"open 20,000 files", descriptors},
    {"write 1 GiB into a file", one_file},
    {"make more files than it needs", many_files},
    {"leave a core dump", core},
    {"use 20 GiB of memory", memory},
    {NULL, NULL},
};
