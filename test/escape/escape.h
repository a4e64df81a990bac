/* What somebody tries who broke out of a guest and runs in the place of its VMM. One function per try; a try has parts. */
#ifndef ESCAPE_H
#define ESCAPE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct attempt {
  const char *name;
  void (*run)(void);
};

/* Each ends with a name that is null. */
extern const struct attempt FILES[], PROCESSES[], SOCKETS[], KERNEL[], BOUNDS[];

/* Tells a part: held where the call failed. `result` is a system call's; errno says why. Gives the result back. */
long refused(const char *what, long result);
/* Tells a part: held where no more were had than `most`. */
void bounded(const char *what, long had, long most);
void told(const char *what, int held, const char *how);

/* What the test planted, `key=value` of the command line: a path, a number, a name. Ends the try when it is missing. */
const char *given(const char *key);
/* Null where it is missing. */
const char *given_or_null(const char *key);
/* A path in the folder that is the VMM's own. Good until the next call. */
const char *own(const char *name);

/* The log that a VMM opens by its name. Ends the try when it cannot be. */
int open_log(void);

/* Connects to a Unix socket; a first byte of 0 in `path` is an abstract one's. */
long connect_unix(const char *path, size_t length);

/* The TAP that a VMM has open, in the namespace that it was made in; -1 where there is none. */
extern int own_tap;
long attach(const char *name);

int victim(void);
#endif
