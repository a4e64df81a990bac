/* What of the host is to be found from where a VMM is: until its standard input ends. */
#include "escape.h"
#include <mqueue.h>
#include <stddef.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

int victim(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", given("abstract"));
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (void *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length))) return perror("bind"), 1;
  if (listen(listener, 16)) return perror("listen"), 1;
  int memory = shmget((key_t)atol(given("shm")), 4096, IPC_CREAT | IPC_EXCL | 0666);
  if (memory < 0) return perror("shmget"), 1;
  umask(0);
  if (mq_open(given("mq"), O_CREAT | O_EXCL | O_RDWR, 0666, NULL) < 0) return perror("mq_open"), 1;
  puts("ready");
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  shmctl(memory, IPC_RMID, NULL);
  mq_unlink(given("mq"));
  return 0;
}
