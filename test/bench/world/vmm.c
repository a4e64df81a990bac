/*
 * Plays a VMM that costs nothing itself: opens its TAP, says what a kernel says first, and listens. Arguments: TAP, socket. Runs no machine.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int refused(const char *what) {
  perror(what);
  return 1;
}

int main(int count, char **arguments) {
  struct ifreq request = {0};
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  static const char console[] = "[    0.000000] Linux version 0 (fake)\r\n";
  int tap = open("/dev/net/tun", O_RDWR);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (count != 3 || tap < 0 || server < 0) return refused("start");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  strncpy(request.ifr_name, arguments[1], IFNAMSIZ - 1);
  if (ioctl(tap, TUNSETIFF, &request) != 0) return refused(arguments[1]);
  if (write(1, console, sizeof console - 1) < 0) return refused("console");
  strncpy(at.sun_path, arguments[2], sizeof at.sun_path - 1);
  if (bind(server, (struct sockaddr *)&at, sizeof at) != 0 || listen(server, 8) != 0) return refused(arguments[2]);
  for (;;) close(accept(server, NULL, NULL));
}
