import { expect, test } from "vitest";
import { REFUSALS, REFUSALS_AROUND_JAILER, seccompFilter } from "./seccomp.ts";

const X86_64 = 0xc000003e;
const I386 = 0x40000003;
const ALLOW = 0x7fff0000;
const [EPERM, ENOTTY, ENOSYS, EOPNOTSUPP, EAFNOSUPPORT] = [0x50001, 0x50019, 0x50026, 0x5005f, 0x50061];

/** What the kernel does with the filter, for one call; a jump past the end throws, as the kernel refuses such a program. */
const answer = (number: number, args: number[] = [], architecture = X86_64, refusals = REFUSALS): number => {
  const filter = seccompFilter(refusals);
  const words: Record<number, number> = { 0: number, 4: architecture };
  for (let index = 0; index < 6; index++) words[16 + 8 * index] = args[index] ?? 0;
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const k = filter.readUInt32LE(at + 4);
    const code = filter.readUInt16LE(at);
    if (code === 0x06) return k;
    if (code === 0x20) {
      accumulator = words[k]!;
      continue;
    }
    if (code === 0x54) {
      accumulator = (accumulator & k) >>> 0;
      continue;
    }
    const isTrue = { 0x15: accumulator === k, 0x25: accumulator > k, 0x45: (accumulator & k) !== 0 }[code];
    if (isTrue === undefined) throw new Error(`unknown instruction ${code}`);
    at += 8 * filter.readUInt8(at + (isTrue ? 2 : 3));
  }
  throw new Error("the program runs past its end");
};

/** By hand and not from the filter's own list, which may lose a row: what is told of a call, and the calls. */
const REFUSED = {
  [EPERM]: `ptrace:101 process_vm_readv:310 process_vm_writev:311 process_madvise:440 process_mrelease:448 kcmp:312
    pidfd_getfd:438 unshare:272 setns:308 mount:165 umount2:166 pivot_root:155 chroot:161 move_mount:429
    open_tree:428 fsopen:430 fsconfig:431 fsmount:432 fspick:433 mount_setattr:442 statmount:457 listmount:458
    open_by_handle_at:304 name_to_handle_at:303 bpf:321 perf_event_open:298 userfaultfd:323 keyctl:250 add_key:248
    request_key:249 memfd_secret:447 fanotify_init:300 lookup_dcookie:212 modify_ldt:154 personality:135 uselib:134
    _sysctl:156 nfsservctl:180 shmget:29 semget:64 msgget:68 mq_open:240 sync:162 syncfs:306 init_module:175
    finit_module:313 delete_module:176 create_module:174 get_kernel_syms:177 query_module:178 kexec_load:246
    kexec_file_load:320 reboot:169 swapon:167 swapoff:168 acct:163 quotactl:179 quotactl_fd:443 settimeofday:164
    clock_settime:227 adjtimex:159 clock_adjtime:305 syslog:103 iopl:172 ioperm:173 sethostname:170
    setdomainname:171 vhangup:153`,
  [ENOSYS]: `clone3:435 io_uring_setup:425 io_uring_enter:426 io_uring_register:427 io_setup:206 inotify_init:253
    inotify_init1:294 memfd_create:319`,
  [EOPNOTSUPP]: `fallocate:285 setxattr:188 lsetxattr:189 fsetxattr:190 setxattrat:463`,
};

test("every call that no VMM needs is refused, by a list of its own", () => {
  const rows = Object.entries(REFUSED).flatMap(([told, calls]) =>
    calls
      .split(/\s+/)
      .map((call) => ({ told: Number(told), name: call.split(":")[0], number: Number(call.split(":")[1]) })),
  );
  expect(rows.filter(({ told, number }) => answer(number) !== told)).toEqual([]);
  const whole = REFUSALS.filter(({ only }) => !only);
  expect(new Set(whole.map(({ number }) => number)).size).toBe(whole.length);
  expect(new Set(whole.map(({ name }) => name))).toEqual(new Set(rows.map(({ name }) => name)));
});

test("what setpriv and a VMM do is let through", () => {
  // read write open close mmap execve exit prctl capset setresuid setgroups seccomp
  for (const number of [0, 1, 2, 3, 9, 59, 60, 157, 126, 117, 116, 317]) expect(answer(number)).toBe(ALLOW);
  // TUNSETIFF, TUNGETFEATURES, TUNSETOFFLOAD, TUNGETIFF, TUNSETSNDBUF, TUNSETVNETHDRSZ, KVM_RUN, KVM_SET_MSRS, SIOCGIFINDEX, TCGETS, FIONBIO
  for (const command of [
    0x400454ca, 0x800454cf, 0x400454d0, 0x800454d2, 0x400454d4, 0x400454d8, 0xae80, 0x4008ae89, 0x8933, 0x5401, 0x5421,
  ])
    expect(answer(16, [9, command])).toBe(ALLOW);
  // The clone of pthread_create and of fork.
  for (const flags of [0x3d0f00, 0x1200011]) expect(answer(56, [flags])).toBe(ALLOW);
});

test("a new namespace is refused, of any kind and among other flags", () => {
  for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
    expect(answer(56, [0x3d0f00 | flag])).toBe(EPERM);
  expect(answer(435)).toBe(ENOSYS);
});

test("around a jailer a mount view may be made, and no other namespace", () => {
  const inJailer = (number: number, flags = 0) => answer(number, [flags], X86_64, REFUSALS_AROUND_JAILER);
  // mount umount2 pivot_root chroot unshare(CLONE_NEWNS)
  for (const number of [165, 166, 155, 161]) expect(inJailer(number)).toBe(ALLOW);
  expect(inJailer(272, 0x20000)).toBe(ALLOW);
  for (const flag of [0x80, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
    for (const number of [272, 56].filter((call) => call === 272 || flag !== 0x80)) {
      expect(inJailer(number, flag)).toBe(EPERM);
      expect(inJailer(number, flag | 0x20000)).toBe(EPERM);
    }
  for (const number of [308, 429, 101]) expect(inJailer(number)).toBe(EPERM);
  // memfd_create, by the VMM inside.
  expect(inJailer(319)).toBe(ALLOW);
});

test("no socket but a Unix one", () => {
  for (const number of [41, 53]) {
    expect(answer(number, [1])).toBe(ALLOW);
    // unspecified, IPv4, IPv6, netlink, packet, vsock, crypto, xdp; and what only looks like 1 in 16 bits.
    for (const family of [0, 2, 10, 16, 17, 40, 38, 44, 0x10001]) expect(answer(number, [family])).toBe(EAFNOSUPPORT);
  }
});

test("the terminal's input is not to be written", () => {
  for (const command of [0x5412, 0x541c]) expect(answer(16, [0, command])).toBe(EPERM);
  expect(answer(16, [0x5412, 0x5401])).toBe(ALLOW);
});

test("no space for a file beyond what its size tells", () => {
  // fallocate, setxattr, lsetxattr, fsetxattr, setxattrat
  for (const number of [285, 188, 189, 190, 463]) expect(answer(number)).toBe(EOPNOTSUPP);
  // FS_IOC_RESVSP, its 64 bits, FS_IOC_ZERO_RANGE, XFS_IOC_ALLOCSP64, FICLONE, EXT4_IOC_MOVE_EXT, F2FS_IOC_RESIZE_FS, FS_IOC_ENABLE_VERITY
  for (const command of [
    0x40305828, 0x4030582a, 0x40305839, 0x40305824, 0x40049409, 0xc028660f, 0x4008f510, 0x40806685,
  ])
    expect(answer(16, [1, command])).toBe(ENOTTY);
});

test("a TAP keeps its address, owner and life on the host", () => {
  // SIOCSIFHWADDR, TUNSETDEBUG, TUNSETPERSIST, TUNSETOWNER, TUNSETLINK, TUNSETGROUP
  for (const command of [0x8924, 0x400454c9, 0x400454cb, 0x400454cc, 0x400454cd, 0x400454ce])
    expect(answer(16, [9, command])).toBe(EPERM);
});

test("nobody is kept waiting for a file, nor watched in a folder", () => {
  for (const command of [1024, 1026]) expect(answer(72, [1, command])).toBe(EPERM);
  // F_GETFD, F_SETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS; and a file of that number.
  for (const command of [1, 4, 1030, 1033]) expect(answer(72, [1024, command])).toBe(ALLOW);
});

test("another architecture's calls, and calls nobody has looked at, are not there", () => {
  expect(answer(1, [], I386)).toBe(ENOSYS);
  for (const number of [0x40000001, 0xffffffff, 467, 1_000]) expect(answer(number)).toBe(ENOSYS);
});
