/** What QEMU is started with. Pure: a machine in, a command line out. */
import { CHANNEL_PORT_NAME } from "../../contract/guest.ts";
import { kernelLine } from "../kernel-line.ts";
import type { MicrovmSpec } from "../vmm.ts";
import { ROOM } from "./jail.ts";
import { SOCKETS } from "./sockets.ts";

/** When it is full, QEMU begins anew; by default it takes up to 1 GiB, by the host's memory. */
export const TRANSLATED_CODE_MIB = 512;

/** The distribution's: what is built by hand needs libraries that its jail has not. */
export const QEMU = "/usr/bin/qemu-system-x86_64";

/** How the guest's instructions run. */
export type Accelerator =
  /** `/dev/kvm` is handed over as open file 3, so that the VMM's user needs no right to open it. */
  | { kind: "kvm" }
  /** `tscKhz`: frequency of the host's time stamp counter, which an emulated guest sees as its own. */
  | { kind: "emulation"; tscKhz: number };

/** Where the guest's memory is. */
export type Memory =
  /** In the process: a memfd would count as a file towards the file size limit (../jail.ts). */
  | "anonymous"
  /** In the file of the snapshot that will be made of it. */
  | "template"
  /** In that of the snapshot that it is restored from, but for what it writes, which is its own. */
  | "clone";

const MEMORY: Record<Memory, string> = {
  anonymous: "memory-backend-ram",
  template: `memory-backend-file,mem-path=${ROOM.snapshot.memory},share=on`,
  clone: `memory-backend-file,mem-path=${ROOM.snapshot.memory},share=off,readonly=on,rom=off`,
};

type Machine = Pick<MicrovmSpec, "vmId" | "kernelArgs" | "vcpuCount" | "memoryMib" | "tap" | "mac">;

/** Paths are those of its room (jail.ts). The machine stands still until it is told to go on. */
export const qemuArguments = (spec: Machine, accelerator: Accelerator, memory: Memory = "anonymous"): string[] => {
  const { vmlinux, initrd, rootfs } = ROOM.image;
  return [
    ["-name", spec.vmId, "-S", ...(memory === "clone" ? ["-incoming", "defer"] : [])],
    machineArguments(accelerator, spec.memoryMib, memory),
    ["-smp", String(spec.vcpuCount)],
    ["-kernel", vmlinux, "-initrd", initrd, "-append", kernelCommandLine(spec, accelerator)],
    // Shared by all microVMs and never written: no lock, which would be one holder's alone.
    ["-blockdev", `driver=file,filename=${rootfs},node-name=root,read-only=on,locking=off`],
    ["-device", "virtio-blk-device,drive=root"],
    ["-netdev", `tap,id=net,ifname=${spec.tap},script=no,downscript=no`],
    ["-device", `virtio-net-device,netdev=net,mac=${spec.mac}`],
    ["-device", "virtio-serial-device"],
    ["-chardev", `socket,id=channel,path=${ROOM.run}/${SOCKETS.channel},server=on,wait=off`],
    ["-device", `virtserialport,chardev=channel,name=${CHANNEL_PORT_NAME}`],
    ["-device", "virtio-rng-device"],
    // The console's file, opened for appending, so that whoever trims it by truncating it is followed to its new end.
    ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ["-qmp", `unix:${ROOM.run}/${SOCKETS.control},server=on,wait=off`],
  ].flat();
};

/** The machine without anything that belongs to one guest: what the KVM probe boots, too. */
export const machineArguments = (accelerator: Accelerator, memoryMib: number, memory: Memory = "anonymous"): string[] =>
  [
    ["-machine", "microvm,acpi=on,memory-backend=ram"],
    ["-object", `${MEMORY[memory]},id=ram,size=${memoryMib}M`, "-m", String(memoryMib)],
    accelerator.kind === "kvm"
      ? ["-add-fd", "fd=3,set=1", "-accel", "kvm,device=/dev/fdset/1", "-cpu", "host"]
      : ["-accel", `tcg,tb-size=${TRANSLATED_CODE_MIB}`, "-cpu", "max"],
    // The default firmware may let the ACPI tables and the initrd overlap, by the initrd's size; the kernel then hangs.
    ["-bios", "qboot.rom"],
    ["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ["-global", "virtio-mmio.force-legacy=false"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ].flat();

export const kernelCommandLine = (
  { kernelArgs }: Pick<MicrovmSpec, "kernelArgs">,
  accelerator: Accelerator,
): string => {
  const own = [
    "console=ttyS0",
    // With -no-reboot it ends the process instead of looping.
    "reboot=t",
    // Else the guest measures its counter against an emulated timer, fails on a busy host, and hangs; or it distrusts the counter
    // because of that timer's late ticks, counts ticks instead, and its clock runs at another speed than the host's.
    ...(accelerator.kind === "emulation" ? [`tsc_early_khz=${accelerator.tscKhz}`, "tsc=reliable"] : []),
  ];
  return kernelLine(own, kernelArgs);
};
