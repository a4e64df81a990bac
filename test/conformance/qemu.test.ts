/** The QEMU backend: what every backend must do, and what only this one promises. Boots the kernel of a real image. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { kernelCommandLine, machineArguments, QEMU } from "../../src/vmm/qemu/arguments.ts";
import { runFolder } from "../../src/vmm/folder.ts";
import { createQemuBackend } from "../../src/vmm/qemu/backend.ts";
import { askQemu } from "../../src/vmm/qemu/client.ts";
import { bootKernel } from "../../src/vmm/qemu/boot-kernel.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";
import { hostTscKhz } from "../../src/vmm/qemu/tsc.ts";
import { findImage, realMachine } from "./real-machine.ts";
import { NO_RIGHTS, realVmm, startWithFilesOf } from "./vmm-real.ts";
import type { VmmSuite, VmmUnderTest } from "./vmm-suite.ts";
import { vmmConformance } from "./vmm.ts";

const OPEN_FILES = 1024;

const prepare = async (): Promise<VmmUnderTest> => ({
  backend: createQemuBackend({
    accel: "auto",
    kvm: (vmlinux) => probeKvm({ vmlinux, cacheFile: dataPaths(inject("imageDataDir")).kvmProbe }),
  }),
  ...(await realMachine()),
  broken: (spec) => ({ ...spec, image: { ...spec.image, rootfs: "/missing" } }),
  saysBroken: /can't find source path/i,
});

const ofQemu = (suite: VmmSuite): void => {
  test("hides its sockets from other users, and is not left the folder itself", async () => {
    const { paths } = (await suite.start()).spec;
    expect(await stat(runFolder(paths))).toMatchObject({ uid: 0, mode: 0o40700 });
    expect((await stat(paths.root)).mode & 0o777).toBe(0o710);
  });

  test("lives on when its console reached the limit, and the file grows no more", async () => {
    const maxFileBytes = 600;
    const { paths } = await startWithFilesOf(suite, maxFileBytes);
    const reached = async () => (await stat(paths.console)).size >= maxFileBytes || undefined;
    await poll(reached, { what: "a full console", timeoutMs: 60_000, intervalMs: 50 });
    expect(await askQemu(paths, 10_000)).toBe("running");
    expect((await stat(paths.console)).size).toBe(maxFileBytes);
  });
};

vmmConformance("qemu", prepare, realVmm({ boundingSet: NO_RIGHTS, openFiles: OPEN_FILES }), ofQemu);

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

  test("gives up on a kernel that says nothing, and waits for one that talks", async () => {
    const saying = (text: string) => ["sh", "-c", text];
    const slow = saying(
      "for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done; echo Kernel panic - not syncing: VFS; sleep 60",
    );
    expect(await bootKernel({ argv: slow, timeoutMs: 60_000, silentMs: 2_000 })).toMatchObject({ outcome: "booted" });
    const silent = saying("echo once; sleep 60");
    const { outcome, detail } = await bootKernel({ argv: silent, timeoutMs: 60_000, silentMs: 500 });
    expect({ outcome, detail }).toEqual({ outcome: "hung", detail: "once" });
  });

  test("gives up at the deadline and leaves no process", async () => {
    expect(await bootKernel({ ...emulated, timeoutMs: 300 })).toMatchObject({ outcome: "hung" });
    expect(await commandLinesWith(emulated.argv.at(-1) ?? "")).toEqual([]);
  });

  test("says how a VMM ended that can't run", async () => {
    const { outcome, detail } = await bootKernel({ argv: [QEMU, "-machine", "none-such"], timeoutMs: 60_000 });
    expect({ outcome, detail }).toEqual({ outcome: "ended", detail: expect.stringContaining("-machine help") });
  });

  test("comes to a verdict on KVM, which holds until host, QEMU or kernel change", async ({ skip }) => {
    if (!existsSync("/dev/kvm")) skip("there is none to come to a verdict on");
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
