/*
 * escape key=value…   all tries, one after the other; a line of JSON for each part
 * escape list         their names
 * escape victim …     the host's side: a process, shared memory, a message queue and an abstract socket to be found
 * escape whoami       exit code 0 when it runs as root
 * Arguments without `=` are somebody else's and ignored.
 */
#include "escape.h"
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define SECONDS_PER_TRY 60

static const struct attempt *const ALL[] = {FILES, PROCESSES, SOCKETS, KERNEL, BOUNDS};
static char **arguments;
static const char *current;
int own_tap = -1;

static void wait_for_seal(void);
static void attempt(const struct attempt *one);
static const char *end_of(int status);

int main(int argc, char **argv) {
  /* As root, by its bit: for whoever started it, it does nothing but tell that. */
  if (getauxval(AT_SECURE)) return geteuid() != 0;
  arguments = argv;
  const char *mode = argc > 1 ? argv[1] : "";
  if (!strcmp(mode, "whoami")) return geteuid() != 0;
  if (!strcmp(mode, "victim")) return victim();
  if (given_or_null("mine")) own_tap = (int)attach(given("mine"));
  if (given_or_null("sealed")) wait_for_seal();
  for (size_t group = 0; group < sizeof ALL / sizeof *ALL; group++) {
    if (ALL[group] == BOUNDS && given_or_null("boundless")) continue;
    for (const struct attempt *one = ALL[group]; one->name; one++)
      if (!strcmp(mode, "list")) puts(one->name);
      else attempt(one);
  }
  return 0;
}

/* A VMM is there before its folder is closed to it; then the guest runs, and whoever breaks out of it. */
static void wait_for_seal(void) {
  struct stat is;
  for (int tries = 0; tries < 1000 && !stat(given("folder"), &is) && is.st_uid; tries++)
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

/* In a process group of its own, which ends with the try. */
static void attempt(const struct attempt *one) {
  current = one->name;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    alarm(SECONDS_PER_TRY);
    one->run();
    fflush(stdout);
    _exit(0);
  }
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return told("to begin", 0, strerror(errno));
  kill(-pid, SIGKILL);
  /* As the first process of its namespace it is everybody's parent. */
  for (int tries = 0; tries < 200; tries++) {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    if (kill(-pid, 0)) break;
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
  }
  if (WIFSIGNALED(status)) told("to its end", WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGXFSZ, end_of(status));
  if (WIFEXITED(status) && WEXITSTATUS(status)) told("to its end", 0, "the try itself failed");
}

static const char *end_of(int status) {
  const char *name = sigabbrev_np(WTERMSIG(status));
  return name ? name : "a signal";
}

long refused(const char *what, long result) {
  const char *name = strerrorname_np(errno);
  told(what, result < 0, result < 0 ? (name ? name : "an error") : "worked");
  return result;
}

void bounded(const char *what, long had, long most) {
  char how[80];
  snprintf(how, sizeof how, "%ld, where %ld are the most", had, most);
  told(what, had <= most, how);
}

/* One write: lines of several processes do not mix. */
void told(const char *what, int held, const char *how) {
  char line[600];
  int length = snprintf(line, sizeof line, "{\"try\":\"%s\",\"part\":\"%s\",\"held\":%s,\"how\":\"%s\"}\n", current, what,
                        held ? "true" : "false", how);
  if (write(STDOUT_FILENO, line, (size_t)length) != length) _exit(3);
}

const char *given_or_null(const char *key) {
  size_t length = strlen(key);
  for (char **one = arguments + 1; *one; one++)
    if (!strncmp(*one, key, length) && (*one)[length] == '=') return *one + length + 1;
  return NULL;
}

const char *given(const char *key) {
  const char *value = given_or_null(key);
  if (!value) told(key, 0, "not given"), _exit(2);
  return value;
}

int open_log(void) {
  int fd = open(given("log"), O_RDWR | O_APPEND);
  if (fd < 0) told("open its log", 0, strerror(errno)), _exit(2);
  return fd;
}

const char *own(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", given("folder"), name);
  return path;
}
