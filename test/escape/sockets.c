#include "escape.h"
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static long connect_to(int family, const void *address, socklen_t size) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval limit = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return connect(fd, address, size);
}

long connect_unix(const char *path, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!length) length = strlen(path);
  if (length >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  memcpy(address.sun_path, path, length);
  return connect_to(AF_UNIX, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

static void to_ipv4(const char *host) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(given("port")))};
  inet_pton(AF_INET, host, &address.sin_addr);
  refused(host, connect_to(AF_INET, &address, sizeof address));
}

static void tcp(void) {
  to_ipv4("127.0.0.1");
  to_ipv4(given("host"));
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(given("port")))};
  address.sin6_addr = in6addr_loopback;
  refused("::1", connect_to(AF_INET6, &address, sizeof address));
}

static void by_path(void) {
  refused("api.sock", connect_unix(given("api"), 0));
  refused("D-Bus", connect_unix(given("bus"), 0));
}

static void abstract(void) {
  char name[100] = "";
  int length = snprintf(name + 1, sizeof name - 1, "%s", given("abstract"));
  refused("planted", connect_unix(name, (size_t)length + 1));
}

static void vsock(void) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  refused("listen", fd < 0 ? -1 : bind(fd, (void *)&host, sizeof host));
}

static void other_sockets(void) {
  refused("packet", socket(AF_PACKET, SOCK_RAW, 0));
  refused("raw IPv4", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  refused("raw IPv6", socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
  refused("UDP", socket(AF_INET, SOCK_DGRAM, 0));
  refused("crypto", socket(AF_ALG, SOCK_SEQPACKET, 0));
}

/* Answers 0, or -1 and errno as the kernel acknowledges. */
static long change_link(int type, int flags, const char *name) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    char attributes[128];
  } request = {.header = {.nlmsg_type = (uint16_t)type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
  struct rtattr *at = (void *)request.attributes;
  *at = (struct rtattr){(uint16_t)RTA_LENGTH(strlen(name) + 1), IFLA_IFNAME};
  strcpy(RTA_DATA(at), name);
  size_t size = RTA_ALIGN(at->rta_len);
  at = (void *)(request.attributes + size);
  *at = (struct rtattr){(uint16_t)RTA_LENGTH(RTA_LENGTH(6)), IFLA_LINKINFO};
  struct rtattr *kind = RTA_DATA(at);
  *kind = (struct rtattr){(uint16_t)RTA_LENGTH(6), IFLA_INFO_KIND};
  memcpy(RTA_DATA(kind), "bridge", 6);
  request.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof request.link) + size + RTA_ALIGN(at->rta_len));
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[512];
  } answer = {0};
  if (fd < 0 || send(fd, &request, request.header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0) return -1;
  close(fd);
  errno = -answer.error.error;
  return errno ? -1 : 0;
}

static void network(void) {
  refused("see a link", if_nametoindex(given("tap")) ? 0 : -1);
  if (refused("add a link", change_link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "sp-escape")) == 0)
    change_link(RTM_DELLINK, 0, "sp-escape");
  refused("netlink", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

const struct attempt SOCKETS[] = {
    {"connect to the controller over TCP", tcp},
    {"connect to the controller's own socket or D-Bus", by_path},
    {"connect to an abstract socket", abstract},
    {"open a vsock", vsock},
    {"open a raw, packet or other socket", other_sockets},
    {"see or change the host's network", network},
    {NULL, NULL},
};
