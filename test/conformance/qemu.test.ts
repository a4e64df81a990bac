/** The QEMU backend: what every backend must do, and what only this one promises. Boots the kernel of a real image. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import type { ProcessIdentity } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { namespaceFile, namespaceOf } from "../../src/network/namespace.ts";
import { kernelCommandLine, machineArguments, QEMU } from "../../src/vmm/qemu/arguments.ts";
import { runFolder } from "../../src/vmm/folder.ts";
import { createQemuBackend } from "../../src/vmm/qemu/backend.ts";
import { askQemu } from "../../src/vmm/qemu/client.ts";
import { bootKernel } from "../../src/vmm/qemu/boot-kernel.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";
import { hostTscKhz } from "../../src/vmm/qemu/tsc.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";
import { asUser } from "../../src/vmm/unprivileged.ts";
import { findImage, makeTap, OWNER, removeTap } from "./real-machine.ts";
import { hooks } from "./vmm-suite.ts";
import { vmmConformance } from "./vmm.ts";

const UID = 54_321;
const MAC = "06:00:c0:a8:64:05";

const backendIn = (root: string) =>
  createQemuBackend({
    accel: "auto",
    kvm: (vmlinux) => probeKvm({ vmlinux, cacheFile: dataPaths(root).kvmProbe }),
  });

vmmConformance("qemu", async () => {
  const image = await findImage();
  return {
    backend: backendIn(inject("imageDataDir")),
    image,
    uidBase: UID + 100,
    makeTap,
    removeTap,
    broken: (spec) => ({ ...spec, image: { ...spec.image, rootfs: "/missing" } }),
    saysBroken: /can't find source path/i,
  };
});

describe("a QEMU microVM", () => {
  let root: string;
  let spec: MicrovmSpec;
  let vmm: ProcessIdentity;

  beforeAll(async () => {
    root = await mkdtemp("/tmp/sp-qemu-");
    await run("chmod", ["711", root]);
    const image = await findImage();
    const vmId = newVmId();
    const paths = dataPaths(root).vm(vmId);
    const tap = `sp-${vmId}`;
    const netns = namespaceFile(namespaceOf(tap, OWNER));
    const nic = { tap, mac: MAC, address: "192.168.100.5", netns, uid: UID };
    spec = { vmId, paths, image, kernelArgs: [], vcpuCount: 1, memoryMib: 512, ...nic };
    await mkdir(paths.root, { recursive: true, mode: 0o711 });
    await makeTap(spec.tap, spec.uid);
    ({ process: vmm } = await backendIn(inject("imageDataDir")).start(spec, { kind: "boot" }, hooks()));
  });

  afterAll(async () => {
    await backendIn(root)
      .reopen({ ...spec, process: vmm })
      .kill();
    await removeTap(spec.tap);
    await rm(root, { recursive: true });
  });

  test("runs as its own user, without groups, capabilities or a way to get any, inside QEMU's system call filter", async () => {
    const status = await readFile(`/proc/${vmm.pid}/status`, "utf8");
    const field = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "missing";
    expect(field("Uid").split("\t")).toEqual(Array(4).fill(String(UID)));
    expect(field("Gid").split("\t")).toEqual(Array(4).fill(String(UID)));
    expect(field("Groups")).toBe("");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(field(set)).toBe("0000000000000000");
    expect(field("NoNewPrivs")).toBe("1");
    expect(field("Seccomp")).toBe("2");
  });

  test("leaves no core dump, which would hold the guest's memory", async () => {
    expect(await readFile(`/proc/${vmm.pid}/limits`, "utf8")).toMatch(/^Max core file size +0 +0 /m);
  });

  test("hides its sockets from other users, and is not left the folder itself", async () => {
    expect(await stat(runFolder(spec.paths))).toMatchObject({ uid: 0, mode: 0o40700 });
    expect((await stat(spec.paths.root)).mode & 0o777).toBe(0o710);
  });

  test("goes on at the end of a console that was cut short", async () => {
    const size = async () => (await stat(spec.paths.console)).size || undefined;
    await poll(size, { what: "the console", timeoutMs: 60_000, intervalMs: 50 });
    await truncate(spec.paths.console, 0);
    await poll(size, { what: "more console", timeoutMs: 60_000, intervalMs: 50 });
    expect(await readFile(spec.paths.console)).not.toContain(0);
  });

  test("lives on when its console reached the limit, and the file grows no more", async () => {
    const backend = backendIn(root);
    await backend.reopen({ ...spec, process: vmm }).kill();
    await truncate(spec.paths.console, 0);
    const maxFileBytes = 600;
    // Not the guest, which waits: the VMM's own bound is taken down.
    const lower = (pid: number) => asUser(UID, ["prlimit", `--pid=${pid}`, `--fsize=${maxFileBytes}`]);
    const beforeRun = async (): Promise<void> => {
      const [program = "", ...args] = lower(vmm.pid);
      await run(program, args);
    };
    const onProcess = async (process: ProcessIdentity) => void (vmm = process);
    await removeTap(spec.tap);
    await makeTap(spec.tap, spec.uid);
    await backend.start(spec, { kind: "boot" }, { ...hooks(), onProcess, beforeRun });
    const reached = async () => (await stat(spec.paths.console)).size >= maxFileBytes || undefined;
    await poll(reached, { what: "a full console", timeoutMs: 60_000, intervalMs: 50 });
    expect(await askQemu(spec.paths, 10_000)).toBe("running");
    expect((await stat(spec.paths.console)).size).toBe(maxFileBytes);
  });
});

describe("booting a kernel as a probe", () => {
  let vmlinux: string;
  let emulated: { argv: string[] };

  beforeAll(async () => {
    ({ vmlinux } = await findImage());
    const accelerator = { kind: "emulation", tscKhz: await hostTscKhz() } as const;
    const commandLine = `${kernelCommandLine({ kernelArgs: [] }, accelerator)} sallyport.test=${newVmId()}`;
    emulated = { argv: [QEMU, ...machineArguments(accelerator, 256), "-kernel", vmlinux, "-append", commandLine] };
  });

  test("sees a kernel come to its last line", async () => {
    expect(await bootKernel({ ...emulated, timeoutMs: 60_000 })).toMatchObject({ outcome: "booted" });
  });

  test("gives up at the deadline and leaves no process", async () => {
    expect(await bootKernel({ ...emulated, timeoutMs: 300 })).toMatchObject({ outcome: "hung" });
    expect(await commandLinesWith(emulated.argv.at(-1) ?? "")).toEqual([]);
  });

  test("says how a VMM ended that can't run", async () => {
    const { outcome, detail } = await bootKernel({ argv: [QEMU, "-machine", "none-such"], timeoutMs: 60_000 });
    expect({ outcome, detail }).toEqual({ outcome: "ended", detail: expect.stringContaining("-machine help") });
  });

  test("comes to a verdict on KVM, which holds until host, QEMU or kernel change", async () => {
    const root = await mkdtemp("/tmp/sp-kvm-");
    const cacheFile = join(root, "cache", "kvm-probe.json");
    const first = await probeKvm({ vmlinux, cacheFile });
    expect(first.reason).toMatch(/kvm/i);
    expect(await probeKvm({ vmlinux, cacheFile, timeoutMs: 0 })).toEqual(first);
    const { key } = JSON.parse(await readFile(cacheFile, "utf8"));
    expect(key).toContain((await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim());
    await rm(root, { recursive: true });
  });
});

const commandLinesWith = async (text: string): Promise<string[]> => {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(text));
};
