/** The Firecracker backend: what every backend must do, and what only this one promises. Boots a real image in its real jailer. */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { isAlive } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { exitIn } from "../../src/vmm/process.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";
import { realVmm, startWithFilesOf } from "../conformance/vmm-real.ts";
import { BOOT, hooks, type VmmSuite } from "../conformance/vmm-suite.ts";
import { vmmConformance } from "../conformance/vmm.ts";
import { prepareFirecracker } from "./vmm.ts";

/** Those that its jailer needed. */
const BOUNDING_SET = "00000000082000c3";
const OPEN_FILES = 256;

const end = ({ paths }: MicrovmSpec): Promise<string> => {
  const exit = async () => exitIn(await readFile(paths.vmmLog, "utf8")) ?? undefined;
  return poll(exit, { what: "its end", timeoutMs: 120_000, intervalMs: 100 });
};

const ofFirecracker = (suite: VmmSuite): void => {
  const { start, newSpec, handle, backend } = suite;

  test("sees its machine's files and KVM, and has no folder that it may write to", async () => {
    const { spec, process } = await start();
    const root = `/proc/${process.pid}/root/`;
    const find = async (...what: string[]) => (await run("find", [root, ...what])).stdout.trim().split("\n");
    const names = ["dev", "dev/kvm", "firecracker.pid", "initrd", "rootfs.ext4", "run"];
    const more = ["run/firecracker.socket", "run/vsock.sock", "vmlinux", "vmm.log"];
    expect((await find("-mindepth", "1", "-printf", "%P\\n")).toSorted()).toEqual([...names, ...more]);
    expect(await find("-type", "d", "(", "-uid", String(spec.uid), "-o", "-perm", "/022", ")")).toEqual([""]);
    for (const file of ["initrd", "rootfs.ext4", "vmlinux"]) {
      expect(await stat(join(root, file)), file).toMatchObject({ uid: 0, mode: 0o100444 });
    }
    expect(await stat(root)).toMatchObject({ uid: 0, mode: 0o40711 });
  });

  test("ends when nobody cut its console and that reached the limit: the file grows no more, and the end says so", async () => {
    const spec = await startWithFilesOf(suite, 600);
    expect(await end(spec)).toBe("ended with code 151");
    expect((await stat(spec.paths.console)).size).toBe(600);
  });

  test("ends by itself when its guest restarts", async () => {
    const { spec, process } = await start({ kernelArgs: ["rdinit=/none", "init=/none"] });
    expect(await end(spec)).toBe("ended with code 0");
    expect(await isAlive(process)).toBe(false);
  });

  test("names its chroot as long as it is there", async () => {
    const { spec, handle: vmm } = await start();
    await vmm.kill();
    const chroot = { kind: "chroot", ref: `${spec.vmId}/jail` };
    expect(await vmm.left()).toEqual([chroot]);
    await rm(spec.paths.root, { recursive: true });
    expect(await vmm.left()).toEqual([]);
  });

  test("refuses an image on another file system, says what to do, and has made nothing", async () => {
    const elsewhere = await mkdtemp("/dev/shm/sp-fc-");
    onTestFinished(() => rm(elsewhere, { recursive: true }));
    const spec = await newSpec();
    const vmlinux = join(elsewhere, "vmlinux");
    await writeFile(vmlinux, "");
    const started = backend().start({ ...spec, image: { ...spec.image, vmlinux } }, BOOT, hooks());
    await expect(started).rejects.toMatchObject({
      code: "images-elsewhere",
      hint: expect.stringContaining("on one file system"),
    });
    expect(await handle({ ...spec, process: null }).left()).toEqual([]);
  });
};

vmmConformance(
  "firecracker",
  prepareFirecracker,
  realVmm({ boundingSet: BOUNDING_SET, openFiles: OPEN_FILES }),
  ofFirecracker,
);
