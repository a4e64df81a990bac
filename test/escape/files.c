#include "escape.h"
#include <dirent.h>
#include <ftw.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

static void read_file(const char *path) { refused(path, open(path, O_RDONLY)); }

/* Without a trace where it works. */
static void create_in(const char *folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/sp-escape-%d", folder, getpid());
  if (refused(folder, open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) >= 0) unlink(path);
}

static void accounts(void) {
  read_file("/etc/passwd");
  read_file("/etc/shadow");
}

static void other_console(void) { read_file(given("console")); }
static void other_control(void) { refused("control socket", connect_unix(given("control"), 0)); }

static void controller_files(void) {
  read_file(given("database"));
  read_file(given("key"));
}

/* A file of the host, seen from the current folder after as many steps up as there may be. */
static long from_above(const char *path) {
  for (int step = 0; step < 100; step++) if (chdir("..")) return -1;
  return open(path + 1, O_RDONLY);
}

static void leave_root(void) {
  const char *outside = given("outside");
  char path[4096];
  if (!chdir("/")) refused("steps up", from_above(outside));
  snprintf(path, sizeof path, "/proc/%s/root%s", given("pid"), outside);
  refused("another's root", open(path, O_RDONLY));
  int found = 0;
  for (int fd = 3; fd < 1024; fd++) {
    struct stat is;
    if (fstat(fd, &is) == 0 && S_ISDIR(is.st_mode)) found++;
  }
  told("a folder left open", !found, found ? "there is one" : "none");
  mkdir(own("root"), 0700);
  int here = open("/", O_RDONLY | O_DIRECTORY);
  long result = chroot(own("root"));
  if (!result) result = fchdir(here) ? -1 : from_above(outside);
  refused("a second chroot", result);
}

static void shared_folders(void) {
  create_in("/tmp");
  create_in("/var/tmp");
  create_in("/dev/shm");
}

static char first_found[200];

/* Whatever may be written in its view, beside devices and what is there to be written to. */
static int look(const char *path, const struct stat *is, int type, struct FTW *at) {
  (void)type, (void)at;
  const char *log = given_or_null("log");
  if (!strncmp(path, "/proc/", 6) || (log && !strcmp(path, log))) return 0;
  if (S_ISLNK(is->st_mode) || (S_ISCHR(is->st_mode) && !strncmp(path, "/dev/", 5)) || access(path, W_OK)) return 0;
  snprintf(first_found, sizeof first_found, "%s", path);
  return 1;
}

static void host_files(void) {
  create_in("/usr/bin");
  create_in("/usr/lib");
  create_in("/etc");
  int found = nftw(given("walk"), look, 32, FTW_PHYS);
  told("anything else", found == 0, found ? first_found : "nothing may be written");
}

static void image(void) {
  const char *path = given("image");
  refused("open to write", open(path, O_RDWR));
  refused("truncate", truncate(path, 0));
  refused("chmod", chmod(path, 0666));
}

/* Whoever opens it, or cuts it, waits for a lease's holder, or cannot while it runs. */
static void hold(const char *what, int fd) {
  char part[80];
  snprintf(part, sizeof part, "%s, by a lease", what);
  if (refused(part, fcntl(fd, F_SETLEASE, F_WRLCK)) == 0) fcntl(fd, F_SETLEASE, F_UNLCK);
  snprintf(part, sizeof part, "%s, by running it", what);
  if (refused(part, fchmod(fd, 0700)) == 0) fchmod(fd, 0600);
}

static void hold_files(void) {
  hold("what it says", STDOUT_FILENO);
  hold("its other file", STDERR_FILENO);
  if (given_or_null("log")) hold("that by its name", open_log());
}

static void device_node(void) {
  if (refused("/dev/mem", mknod(own("mem"), S_IFCHR | 0600, makedev(1, 1))) == 0) unlink(own("mem"));
  if (refused("a disk", mknod(own("disk"), S_IFBLK | 0600, makedev(254, 0))) == 0) unlink(own("disk"));
}

/* What a VMM was given. */
static int is_its_own(const char *name) {
  static const char *const its[] = {"null", "zero", "full", "random", "urandom", "kvm", "net", "userfaultfd", ".", ".."};
  for (size_t index = 0; index < sizeof its / sizeof *its; index++)
    if (!strcmp(name, its[index])) return 1;
  return 0;
}

/* Asked and not opened, beside those whose opening does nothing: a watchdog's does. */
static void devices(void) {
  static const char *const harmless[] = {"/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/ptmx", "/dev/loop-control", "/dev/vhost-net"};
  for (size_t index = 0; index < sizeof harmless / sizeof *harmless; index++)
    refused(harmless[index], open(harmless[index], O_RDWR | O_NOCTTY));
  DIR *folder = opendir("/dev");
  char found[300] = "";
  for (struct dirent *one; folder && (one = readdir(folder));) {
    char path[300];
    struct stat is;
    snprintf(path, sizeof path, "/dev/%s", one->d_name);
    int is_device = !stat(path, &is) && (S_ISCHR(is.st_mode) || S_ISBLK(is.st_mode));
    if (is_device && !is_its_own(one->d_name) && (!access(path, R_OK) || !access(path, W_OK))) strcpy(found, path);
  }
  told("any other", !*found, *found ? found : "none");
}

long attach(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  int fd = open("/dev/net/tun", O_RDWR);
  return fd < 0 || ioctl(fd, TUNSETIFF, &request) ? -1 : fd;
}

/* To what they are already. */
static void change_tap(void) {
  struct ifreq request = {0};
  if (ioctl(own_tap, SIOCGIFHWADDR, &request)) return told("have one", 0, "there is none to try");
  refused("address", ioctl(own_tap, SIOCSIFHWADDR, &request));
  refused("owner", ioctl(own_tap, TUNSETOWNER, geteuid()));
  refused("group", ioctl(own_tap, TUNSETGROUP, getegid()));
  refused("persistence", ioctl(own_tap, TUNSETPERSIST, 1));
  refused("kind", ioctl(own_tap, TUNSETLINK, request.ifr_hwaddr.sa_family));
}

static void foreign_tap(void) {
  refused("another guest's", attach(given("tap")));
  refused("a new one", attach("sp-mine"));
}

const struct attempt FILES[] = {
    {"read the host's accounts", accounts},
    {"read another guest's console", other_console},
    {"speak to another guest's VMM", other_control},
    {"read the controller's database and keys", controller_files},
    {"leave its root directory", leave_root},
    {"write to /tmp or /dev/shm", shared_folders},
    {"write to the host's programs and settings", host_files},
    {"change the image", image},
    {"keep the controller from its console", hold_files},
    {"make a device node", device_node},
    {"open a device of the host", devices},
    {"open another guest's TAP", foreign_tap},
    {"change the host's side of its TAP", change_tap},
    {NULL, NULL},
};
