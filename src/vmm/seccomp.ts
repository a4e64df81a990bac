/**
 * The system calls that no VMM of ours needs, as a filter for `bwrap --seccomp`: a program for the kernel's classic BPF.
 * It is the outer wall and lists what is refused: it has to let through the jail's own last steps (setpriv) and what a VMM
 * does in any of its versions. QEMU puts a second one of its own (`-sandbox`) inside.
 */

/** A call, whatever its arguments, or where the low 32 bits of one of them say so. */
export interface Refusal {
  name: string;
  /** On x86-64. */
  number: number;
  errno: number;
  only?: { argument: 0 | 1 } & ({ anyBits: number } | { oneOf: number[] } | { noneOf: number[]; mask?: number });
}

/** What the caller is told: where programs are prepared for a kernel or a file system without the call, that it is one. */
const EPERM = 1;
const ENOTTY = 25;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

const AF_UNIX = 1;
/** Types into, or pastes into, the terminal that started us. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** Of fcntl(2): keeps whoever opens the file waiting for 45 s; is told of all that is done in a folder. */
const F_SETLEASE = 1024;
const F_NOTIFY = 1026;
/** Whoever has a TAP open may ask for these, which are about the host's side of it: its address, by which a bridge finds another. */
const SIOCSIFHWADDR = 0x8924;
/** TUNSETDEBUG, TUNSETPERSIST, TUNSETOWNER, TUNSETLINK, TUNSETGROUP. */
const TAP_SETTINGS = [0x400454c9, 0x400454cb, 0x400454cc, 0x400454cd, 0x400454ce];
/** Requests of a device's family have this in common: KVM; terminals, TAPs and every open file; network interfaces. */
const FAMILY = 0xff00;
const FAMILIES = [0xae00, 0x5400, 0x8900];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: the flags of clone(2) that make a namespace. */
const NEW_NAMESPACES = 0x7e020000;

/** The newest call that was looked at (`removexattrat`); what a newer kernel adds is answered as if it were not there. */
const NEWEST_NUMBER = 466;

/** Numbers: `arch/x86/entry/syscalls/syscall_64.tbl` of the kernel. */
const table = (errno: number, calls: string): Refusal[] =>
  calls
    .trim()
    .split(/\s+/)
    .map((entry) => {
      const [name = "", number] = entry.split(":");
      return { name, number: Number(number), errno };
    });

export const REFUSALS: Refusal[] = [
  // Other processes: their memory, their files, how they are made up.
  ...table(
    EPERM,
    `ptrace:101 process_vm_readv:310 process_vm_writev:311 process_madvise:440 process_mrelease:448
    kcmp:312 pidfd_getfd:438`,
  ),
  // Other namespaces and mounts, files past the mount view.
  ...table(
    EPERM,
    `unshare:272 setns:308 mount:165 umount2:166 pivot_root:155 chroot:161 move_mount:429 open_tree:428
    fsopen:430 fsconfig:431 fsmount:432 fspick:433 mount_setattr:442 statmount:457 listmount:458
    open_by_handle_at:304 name_to_handle_at:303`,
  ),
  { name: "clone", number: 56, errno: EPERM, only: { argument: 0, anyBits: NEW_NAMESPACES } },
  // Its flags are behind a pointer, which a filter cannot follow; libc then takes clone.
  ...table(ENOSYS, "clone3:435"),
  // Parts of the kernel that no VMM asks for and that most holes were found in.
  ...table(ENOSYS, "io_uring_setup:425 io_uring_enter:426 io_uring_register:427"),
  ...table(
    EPERM,
    `bpf:321 perf_event_open:298 userfaultfd:323 keyctl:250 add_key:248 request_key:249 memfd_secret:447
    fanotify_init:300 lookup_dcookie:212 modify_ldt:154 personality:135 uselib:134 _sysctl:156 nfsservctl:180
    shmget:29 semget:64 msgget:68 mq_open:240`,
  ),
  // What all users of a host share one bound of, and files in memory that no other bound counts.
  ...table(ENOSYS, "io_setup:206 inotify_init:253 inotify_init1:294 memfd_create:319"),
  // Waits for the disks of everybody.
  ...table(EPERM, "sync:162 syncfs:306"),
  // The host itself: no VMM may, being nobody; said once more here.
  ...table(
    EPERM,
    `init_module:175 finit_module:313 delete_module:176 create_module:174 get_kernel_syms:177
    query_module:178 kexec_load:246 kexec_file_load:320 reboot:169 swapon:167 swapoff:168 acct:163 quotactl:179
    quotactl_fd:443 settimeofday:164 clock_settime:227 adjtimex:159 clock_adjtime:305 syslog:103 iopl:172 ioperm:173
    sethostname:170 setdomainname:171 vhangup:153`,
  ),
  // The bound on a file's size is none on its space: reserved beyond its end, or for its attributes.
  ...table(EOPNOTSUPP, "fallocate:285 setxattr:188 lsetxattr:189 fsetxattr:190 setxattrat:463"),
  // File systems have dozens of requests, such as to reserve space; of the kernel's own and of each kind of its own number.
  { name: "ioctl", number: 16, errno: ENOTTY, only: { argument: 1, mask: FAMILY, noneOf: FAMILIES } },
  {
    name: "ioctl",
    number: 16,
    errno: EPERM,
    only: { argument: 1, oneOf: [TIOCSTI, TIOCLINUX, SIOCSIFHWADDR, ...TAP_SETTINGS] },
  },
  { name: "fcntl", number: 72, errno: EPERM, only: { argument: 1, oneOf: [F_SETLEASE, F_NOTIFY] } },
  // A TAP is a file and vsock of a VMM is in the kernel: it needs no socket but its own Unix ones.
  { name: "socket", number: 41, errno: EAFNOSUPPORT, only: { argument: 0, noneOf: [AF_UNIX] } },
  { name: "socketpair", number: 53, errno: EAFNOSUPPORT, only: { argument: 0, noneOf: [AF_UNIX] } },
];

/** Of a jailer that makes a smaller room inside, as the last thing it does as root: a user cannot do these without a namespace of its own. */
const OF_A_JAILER = ["mount", "umount2", "pivot_root", "chroot", "unshare"];
/** Of the VMM itself: its network device has a page of a file in memory. */
const OF_ITS_VMM = ["memfd_create"];
const CLONE_NEWNS = 0x20000;
/** CLONE_NEWTIME: unshare alone takes it. */
const NEW_TIME = 0x80;

/** For a program that becomes the VMM by way of such a jailer: a mount view is the one namespace that may still be made. */
export const REFUSALS_AROUND_JAILER: Refusal[] = [
  ...REFUSALS.filter(({ name }) => ![...OF_A_JAILER, ...OF_ITS_VMM].includes(name)),
  {
    name: "unshare",
    number: 272,
    errno: EPERM,
    only: { argument: 0, anyBits: (NEW_NAMESPACES & ~CLONE_NEWNS) | NEW_TIME },
  },
];

/** `struct sock_filter`: load a word of `struct seccomp_data`; jump by a comparison with `k`; answer. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_ANY_BITS = 0x45;
const AND = 0x54;
const ANSWER = 0x06;

const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const X86_64 = 0xc000003e;
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
const ARGUMENTS_AT = 16;

/**
 * The filter, for file number N of `bwrap --seccomp N`. Calls of another architecture (32 bits, x32) are answered ENOSYS:
 * they have other numbers. Pure.
 */
export const seccompFilter = (refusals = REFUSALS): Buffer =>
  Buffer.concat([
    instruction(LOAD, ARCHITECTURE_AT),
    instruction(JUMP_EQUAL, X86_64, 1, 0),
    instruction(ANSWER, ERRNO | ENOSYS),
    instruction(LOAD, NUMBER_AT),
    // x32 has bit 30 set in each number.
    instruction(JUMP_GREATER, NEWEST_NUMBER, 0, 1),
    instruction(ANSWER, ERRNO | ENOSYS),
    ...refusals.flatMap(refuse),
    instruction(ANSWER, ALLOW),
  ]);

const refuse = ({ number, errno, only }: Refusal): Buffer[] => {
  const answer = instruction(ANSWER, ERRNO | errno);
  const body = only
    ? [instruction(LOAD, ARGUMENTS_AT + 8 * only.argument), ...skipUnless(only), answer, instruction(LOAD, NUMBER_AT)]
    : [answer];
  return [instruction(JUMP_EQUAL, number, 0, body.length), ...body];
};

/** Goes on to the answer, or past it. */
const skipUnless = (only: NonNullable<Refusal["only"]>): Buffer[] => {
  if ("anyBits" in only) return [instruction(JUMP_ANY_BITS, only.anyBits, 0, 1)];
  const values = "oneOf" in only ? only.oneOf : only.noneOf;
  // How many comparisons are left to jump over.
  const tests = values.map((value, index): Buffer => {
    const rest = values.length - 1 - index;
    return "oneOf" in only
      ? instruction(JUMP_EQUAL, value, rest, rest === 0 ? 1 : 0)
      : instruction(JUMP_EQUAL, value, rest + 1, 0);
  });
  return "mask" in only && only.mask !== undefined ? [instruction(AND, only.mask), ...tests] : tests;
};

const instruction = (code: number, k: number, ifTrue = 0, ifFalse = 0): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(k, 4);
  return bytes;
};
