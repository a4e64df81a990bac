/** What Firecracker is told of a microVM before the guest runs, and to freeze it. Pure: a machine in, requests out. */
import { kernelLine } from "../kernel-line.ts";
import type { MicrovmSpec } from "../vmm.ts";
import { canLimitConsole, canSetMtu, type ApiRequest } from "./api-facts.ts";
import { MIB } from "../../lib/units.ts";

/** Token buckets of `perSecond` bytes or operations a second, and `burst` more at once in a guest's life. */
const rate = (perSecond: number, burst?: number) => ({
  size: perSecond,
  refill_time: 1000,
  ...(burst === undefined ? {} : { one_time_burst: burst }),
});

/** Far above what a sign-in needs; what they bound is how much of the host one guest can take from the others. */
export const RATE_LIMITS = {
  /** The image is read once, from the host's page cache mostly: about 700 MB until the browser is there. */
  drive: { bandwidth: rate(256 * MIB, 1024 * MIB), ops: rate(20_000) },
  /** Each way. Half a gigabit; the smallest packets would else cost the host a processor. */
  network: { bandwidth: rate(64 * MIB, 64 * MIB), ops: rate(50_000) },
  /** The guest's kernel takes 32 bytes at a time. */
  entropy: { bandwidth: rate(64 * 1024) },
  /** A whole boot says 60 kB; what a flood says beyond it is dropped, where the version can. */
  console: rate(64 * 1024, MIB),
} as const;

/** That of a guest's bridge. */
const MTU = 1500;

/** The guest's own; each VMM has a number space to itself. */
const GUEST_CID = 3;

/** Names in the folder that is the VMM's root. */
export const IN_CHROOT = {
  vmlinux: "vmlinux",
  initrd: "initrd",
  rootfs: "rootfs.ext4",
  memory: "memory",
  state: "state",
  log: "vmm.log",
  apiSocket: "run/firecracker.socket",
  vsockSocket: "run/vsock.sock",
} as const;

const put = (path: string, body: Record<string, unknown>): ApiRequest => ({ method: "PUT", path, body });

/** All of a specification that it is told of. */
type Machine = Pick<MicrovmSpec, "kernelArgs" | "vcpuCount" | "memoryMib" | "tap" | "mac">;

/** Of a machine that boots. */
export const configuration = (spec: Machine, version: string): ApiRequest[] => [
  put("/machine-config", { vcpu_count: spec.vcpuCount, mem_size_mib: spec.memoryMib }),
  put("/boot-source", {
    kernel_image_path: IN_CHROOT.vmlinux,
    initrd_path: IN_CHROOT.initrd,
    boot_args: kernelCommandLine(spec),
  }),
  put("/drives/root", {
    drive_id: "root",
    is_root_device: true,
    path_on_host: IN_CHROOT.rootfs,
    is_read_only: true,
    rate_limiter: RATE_LIMITS.drive,
  }),
  put("/network-interfaces/eth0", {
    iface_id: "eth0",
    host_dev_name: spec.tap,
    guest_mac: spec.mac,
    rx_rate_limiter: RATE_LIMITS.network,
    tx_rate_limiter: RATE_LIMITS.network,
    ...(canSetMtu(version) ? { mtu: MTU } : {}),
  }),
  put("/vsock", { guest_cid: GUEST_CID, uds_path: IN_CHROOT.vsockSocket }),
  put("/entropy", { rate_limiter: RATE_LIMITS.entropy }),
  ...consoleLimit(version),
];

/**
 * Of a clone. All that `configuration` told of the frozen machine is in its state, limits of drive, network and entropy included, at the
 * same names in a chroot of its own; but the TAP is another, and the console is in no state.
 */
export const restoration = ({ tap }: Pick<Machine, "tap">, version: string): ApiRequest[] => [
  ...consoleLimit(version),
  put("/snapshot/load", {
    snapshot_path: IN_CHROOT.state,
    mem_backend: { backend_type: "File", backend_path: IN_CHROOT.memory },
    network_overrides: [{ iface_id: "eth0", host_dev_name: tap }],
    resume_vm: false,
  }),
];

const consoleLimit = (version: string): ApiRequest[] =>
  canLimitConsole(version) ? [put("/serial", { rate_limiter: RATE_LIMITS.console })] : [];

export const START = put("/actions", { action_type: "InstanceStart" });
export const PAUSE: ApiRequest = { method: "PATCH", path: "/vm", body: { state: "Paused" } };
export const RESUME: ApiRequest = { method: "PATCH", path: "/vm", body: { state: "Resumed" } };
/** Of a machine that is paused; where each file is there, what is in it is replaced. */
export const FREEZE = put("/snapshot/create", {
  snapshot_type: "Full",
  snapshot_path: IN_CHROOT.state,
  mem_file_path: IN_CHROOT.memory,
});
export const STATE: ApiRequest = { method: "GET", path: "/" };

/** Replaces Firecracker's own default, whose `nomodule` the image's modular kernel could not boot with. */
export const kernelCommandLine = ({ kernelArgs }: Pick<MicrovmSpec, "kernelArgs">): string => {
  const own = [
    // Without the speed the kernel takes the slowest there is for its console.
    "console=ttyS0,115200",
    // There is no power management: the keyboard controller's reset is how a guest ends its VMM.
    "reboot=k",
    // The keyboard controller has no keyboard and no mouse: not looked for, a second less.
    "i8042.noaux i8042.nomux i8042.dumbkbd",
  ];
  return kernelLine(own, kernelArgs);
};
