/* Requests that the kernel would refuse for their content are such that it looks at the right to make them first. */
#include "escape.h"
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>

static void keys(void) {
  refused("add_key", syscall(SYS_add_key, "user", "sp-escape", "x", 1, KEY_SPEC_PROCESS_KEYRING));
  refused("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
}

static void io_uring(void) {
  struct io_uring_params settings = {0};
  refused("setup", syscall(SYS_io_uring_setup, 4, &settings));
}

static void bpf_and_perf(void) {
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  refused("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
  struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_TASK_CLOCK};
  event.exclude_kernel = event.exclude_hv = 1;
  refused("perf", syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}

static void userfault(void) { refused("userfaultfd", syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY)); }

static void mounts(void) {
  mkdir(own("mount"), 0700);
  if (refused("mount", mount("none", own("mount"), "tmpfs", 0, "")) == 0) umount(own("mount"));
  refused("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  refused("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
}

/* Ends the child that a clone made, which has a stack of its own as with fork. */
static long child(long pid) {
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, __WALL);
  return pid;
}

static void namespaces(void) {
  struct clone_args wanted = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
  refused("clone", child(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)));
  refused("clone3", child(syscall(SYS_clone3, &wanted, sizeof wanted)));
  refused("enter", setns(self, CLONE_NEWNET));
  refused("unshare", unshare(CLONE_NEWUSER));
}

/* Of a request that makes no sense: whoever has the right to it is told so. */
static void would(const char *what, long result) { refused(what, result < 0 && (errno == EPERM || errno == ENOSYS) ? -1 : 0); }

static void replace_kernel(void) {
  would("restart", syscall(SYS_reboot, 0, 0, 0, 0));
  would("kexec", syscall(SYS_kexec_load, 0, 0, 0, ~0ul));
  would("module", syscall(SYS_init_module, 0, 0, ""));
}

static void settings(void) {
  struct timex now = {0};
  adjtimex(&now);
  now.modes = ADJ_TICK;
  refused("clock", syscall(SYS_adjtimex, &now));
  char name[65] = "";
  gethostname(name, sizeof name - 1);
  refused("host's name", sethostname(name, strlen(name)));
  refused("/proc/sys", open("/proc/sys/kernel/core_pattern", O_WRONLY));
  refused("/sys", open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY));
}

static void foreign_calls(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
  errno = result < 0 ? (int)-result : 0;
  refused("32 bits", result);
}

const struct attempt KERNEL[] = {
    {"keep keys in the kernel", keys},
    {"use io_uring", io_uring},
    {"use BPF or perf", bpf_and_perf},
    {"use userfaultfd", userfault},
    {"mount", mounts},
    {"make or enter namespaces", namespaces},
    {"restart or replace the kernel", replace_kernel},
    {"set the host's clock, name or kernel", settings},
    {"call as another architecture", foreign_calls},
    {NULL, NULL},
};
