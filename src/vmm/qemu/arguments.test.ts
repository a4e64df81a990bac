import { describe, expect, test } from "vitest";
import { specOf } from "../../../test/fixtures/spec.ts";
import { kernelCommandLine, qemuArguments } from "./arguments.ts";

const spec = specOf({
  image: { vmlinux: "/i/vmlinux", initrd: "/i/initrd", rootfs: "/i/a,b/rootfs" },
  kernelArgs: ["ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off"],
  vcpuCount: 2,
  memoryMib: 2048,
});
const emulation = { kind: "emulation", tscKhz: 2_596_122 } as const;

/** Values given for an option, in order. */
const valuesOf = (args: string[], option: string): string[] =>
  args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ""] : []));

describe("qemuArguments", () => {
  const args = qemuArguments(spec, emulation);

  test("names nothing of the host: paths are those of its room", () => {
    expect(valuesOf(args, "-qmp")).toEqual(["unix:/vm/run/qmp.sock,server=on,wait=off"]);
    expect(args.join(" ")).not.toMatch(/\/data|\/i\//);
  });

  test("waits for its TAP to be on the bridge before the guest runs", () => {
    expect(args).toContain("-S");
  });

  test("shares the root read-only and unlocked", () => {
    expect(valuesOf(args, "-blockdev")).toEqual([
      "driver=file,filename=/image/rootfs,node-name=root,read-only=on,locking=off",
    ]);
  });

  test("has no device that was not asked for", () => {
    expect(valuesOf(args, "-device").map((device) => device.split(",")[0])).toEqual([
      "virtio-blk-device",
      "virtio-net-device",
      "virtio-serial-device",
      "virtserialport",
      "virtio-rng-device",
    ]);
  });

  test.each([
    ["on", "every system call that QEMU does not need"],
    ["obsolete=deny", "old system calls that nobody looks after any more"],
    ["elevateprivileges=deny", "becoming another user, such as another microVM's"],
    ["spawn=deny", "starting a program"],
    ["resourcecontrol=deny", "taking processors and priority from others"],
  ])("the filter of system calls has %s, against %s", (word) => {
    for (const accelerator of [emulation, { kind: "kvm" } as const]) {
      const [filter = "", ...more] = valuesOf(qemuArguments(spec, accelerator), "-sandbox");
      expect(more).toEqual([]);
      expect(filter.split(",")).toContain(word);
      expect(filter).not.toContain("allow");
    }
  });

  test.each([
    ["-nodefaults", "a floppy drive, a CD-ROM and a network card that nobody asked for"],
    ["-no-user-config", "a file on the host that changes the machine"],
    ["-nographic", "a display on the host"],
    ["-no-reboot", "a guest that goes on after its end, as somebody else"],
  ])("has %s, against %s", (option) => expect(args).toContain(option));

  test("no helper program is started for the network, and the interface is the one that was made", () => {
    expect(valuesOf(args, "-netdev")).toEqual(["tap,id=net,ifname=sp-abc1,script=no,downscript=no"]);
  });

  test("a guest's memory is no file, and in no other process", () => {
    expect(valuesOf(args, "-object")).toEqual(["memory-backend-ram,id=ram,size=2048M"]);
  });

  test("only a template's memory is a file that it writes: a clone's own pages are its alone", () => {
    const [template, clone] = (["template", "clone"] as const).map((memory) => qemuArguments(spec, emulation, memory));
    expect(valuesOf(template ?? [], "-object")).toEqual([
      "memory-backend-file,mem-path=/snapshot/memory,share=on,id=ram,size=2048M",
    ]);
    expect(valuesOf(clone ?? [], "-object")).toEqual([
      "memory-backend-file,mem-path=/snapshot/memory,share=off,readonly=on,rom=off,id=ram,size=2048M",
    ]);
    const waits = [args, template ?? [], clone ?? []].map((one) => valuesOf(one, "-incoming"));
    expect(waits).toEqual([[], [], ["defer"]]);
  });

  test("boots with qboot, whatever the accelerator", () => {
    for (const accelerator of [emulation, { kind: "kvm" } as const]) {
      expect(valuesOf(qemuArguments(spec, accelerator), "-bios")).toEqual(["qboot.rom"]);
    }
  });

  test("takes KVM from an open file, not from a device it may not open", () => {
    expect(valuesOf(qemuArguments(spec, { kind: "kvm" }), "-accel")).toEqual(["kvm,device=/dev/fdset/1"]);
    expect(valuesOf(args, "-accel")).toEqual(["tcg,tb-size=512"]);
  });
});

describe("kernelCommandLine", () => {
  test("gives the time stamp counter's frequency, and that it can be trusted, under emulation only", () => {
    expect(kernelCommandLine(spec, emulation)).toContain(" tsc_early_khz=2596122 tsc=reliable ");
    expect(kernelCommandLine(spec, { kind: "kvm" })).not.toContain("tsc");
  });

  test("ends with what the caller appended", () => {
    expect(
      kernelCommandLine(spec, emulation).endsWith(" ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off"),
    ).toBe(true);
  });
});
