#include "escape.h"
#include <dirent.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static pid_t victims_pid(void) { return (pid_t)atol(given("pid")); }

/* The program itself, the first in there, and this try. */
#define OWN_PROCESSES 2

static void others(void) {
  long found = 0;
  for (pid_t pid = 1; pid < 70000; pid++) found += !kill(pid, 0) || errno == EPERM;
  bounded("by signal 0", found, OWN_PROCESSES);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/environ", victims_pid());
  refused("/proc/PID/environ", open(path, O_RDONLY));
  snprintf(path, sizeof path, "/proc/%d/cmdline", victims_pid());
  refused("/proc/PID/cmdline", open(path, O_RDONLY));
  refused("kill", kill(victims_pid(), 0));
  refused("pidfd_open", syscall(SYS_pidfd_open, victims_pid(), 0));
}

static void trace(void) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)&victim, 1};
  refused("ptrace", ptrace(PTRACE_SEIZE, victims_pid(), 0, 0));
  refused("process_vm_readv", process_vm_readv(victims_pid(), &here, 1, &there, 1, 0));
  /* Its own kind, where namespaces and users are the same: left to the filter alone. */
  pid_t child = fork();
  if (child == 0) _exit(pause());
  refused("ptrace of its own", ptrace(PTRACE_SEIZE, child, 0, 0));
  refused("process_vm_readv of its own", process_vm_readv(child, &here, 1, &there, 1, 0));
}

static void ipc(void) {
  int id = shmget((key_t)atol(given("shm")), 1, 0);
  refused("shared memory", id < 0 ? -1 : (shmat(id, NULL, SHM_RDONLY) == (void *)-1 ? -1 : 0));
  refused("message queue", mq_open(given("mq"), O_RDONLY));
}

static void become_root(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct wanted[2] = {{1 << CAP_SYS_ADMIN, 1 << CAP_SYS_ADMIN, 0}};
  gid_t root = 0;
  refused("bounding set", prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1 && !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? 0 : -1);
  refused("setgroups", syscall(SYS_setgroups, 1, &root));
  refused("setgid", syscall(SYS_setresgid, 0, 0, 0));
  refused("setuid", syscall(SYS_setresuid, 0, 0, 0));
  refused("capset", syscall(SYS_capset, &header, wanted));
}

/* The program is one of root's with the bit set, in a folder of the VMM's. */
static void setuid_program(void) {
  pid_t child = fork();
  if (child == 0) {
    execl(given("setuid"), "whoami", "whoami", NULL);
    _exit(errno == EPERM || errno == EACCES ? 1 : 9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 9) return told("run it", 0, "there is none to try");
  told("run it", status != 0, status ? "it is nobody's" : "it is root's");
}

static void leave_cgroup(void) {
  char path[4096], mine[16];
  snprintf(mine, sizeof mine, "%d", getpid());
  snprintf(path, sizeof path, "%s/cgroup.procs", given("cgroup"));
  int fd = open(path, O_WRONLY);
  refused("join the root's", fd < 0 ? -1 : write(fd, mine, strlen(mine)));
  snprintf(path, sizeof path, "%s/sp-escape", given("cgroup"));
  if (refused("make another", mkdir(path, 0755)) == 0) rmdir(path);
}

static void priority(void) {
  refused("real time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));
  refused("nice", setpriority(PRIO_PROCESS, 0, -5));
}

/* Into a terminal of its own where it can have one, which shows whether the kernel would let it. */
static void terminal(void) {
  /* Who leads a process group can begin no session. */
  pid_t child = fork();
  if (child > 0) waitpid(child, NULL, 0);
  if (child != 0) return;
  setsid();
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), locked = 0, slave = -1;
  if (master >= 0 && !ioctl(master, TIOCSPTLCK, &locked)) slave = ioctl(master, TIOCGPTPEER, O_RDWR);
  refused("a terminal of its own", slave < 0 ? -1 : ioctl(slave, TIOCSCTTY, 0) ? -1 : ioctl(slave, TIOCSTI, "x"));
}

const struct attempt PROCESSES[] = {
    {"see or signal other processes", others},
    {"trace or read another process", trace},
    {"share memory or queues with the host", ipc},
    {"become root", become_root},
    {"run a setuid program", setuid_program},
    {"leave its cgroup", leave_cgroup},
    {"run before everybody else", priority},
    {"type into a terminal", terminal},
    {NULL, NULL},
};
