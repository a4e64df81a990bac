/** The Firecracker backend: what every backend must do, and what only this one promises. Boots a real image in its real jailer. */
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { isAlive, type ProcessIdentity } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { namespaceFile, namespaceOf } from "../../src/network/namespace.ts";
import { createFirecrackerBackend } from "../../src/vmm/firecracker/backend.ts";
import { exitIn } from "../../src/vmm/process.ts";
import type { MicrovmHandle, MicrovmSpec, StartHooks } from "../../src/vmm/vmm.ts";
import { findImage, makeTap, OWNER, removeTap } from "../conformance/real-machine.ts";
import { hooks } from "../conformance/vmm-suite.ts";
import { vmmConformance } from "../conformance/vmm.ts";

const UID = 54_321;
const MAC = "06:00:c0:a8:64:05";

const backend = createFirecrackerBackend({
  searchPath: process.env.SALLYPORT_TEST_FIRECRACKER ?? "/usr/local/bin",
  kvm: async () => ({ usable: true, reason: "As this suite counts on.", measuredMs: 0 }),
  paths: dataPaths(inject("imageDataDir")),
});

vmmConformance("firecracker", async () => {
  const image = await findImage();
  return {
    backend,
    image,
    // Hard links of the image's files are made in it.
    folder: inject("imageDataDir"),
    uidBase: UID + 100,
    makeTap,
    removeTap,
    broken: (spec) => ({ ...spec, image: { ...spec.image, vmlinux: spec.image.initrd } }),
    saysBroken: /Firecracker refused PUT \/actions: .*Invalid Elf magic number/,
  };
});

describe("a Firecracker microVM", () => {
  let root: string;
  let spec: MicrovmSpec;
  let vmm: MicrovmHandle;

  const start = async (changes: Partial<MicrovmSpec> = {}, more: Partial<StartHooks> = {}): Promise<void> => {
    const vmId = newVmId();
    const paths = dataPaths(root).vm(vmId);
    const tap = `sp-${vmId}`;
    const netns = namespaceFile(namespaceOf(tap, OWNER));
    const image = await findImage();
    spec = {
      vmId,
      paths,
      image,
      kernelArgs: [],
      vcpuCount: 1,
      memoryMib: 512,
      tap,
      mac: MAC,
      address: "192.168.100.5",
      netns,
      uid: UID,
      ...changes,
    };
    await mkdir(paths.root, { recursive: true, mode: 0o711 });
    await makeTap(spec.tap, spec.uid);
    vmm = backend.reopen({ ...spec, process: null });
    vmm = await backend.start(spec, { kind: "boot" }, { ...hooks(), ...more });
  };
  const stop = async (): Promise<void> => {
    await vmm.kill();
    await removeTap(spec.tap);
  };
  const proc = (name: string): string => `/proc/${vmm.process?.pid}/${name}`;
  const size = async (): Promise<number | undefined> => (await stat(spec.paths.console)).size || undefined;
  const end = async (): Promise<string> => {
    const exit = async () => exitIn(await readFile(spec.paths.vmmLog, "utf8")) ?? undefined;
    return poll(exit, { what: "its end", timeoutMs: 120_000, intervalMs: 100 });
  };

  beforeAll(async () => {
    root = await mkdtemp(join(inject("imageDataDir"), "sp-fc-"));
    await chmod(root, 0o711);
    await start();
  });
  afterAll(async () => {
    await stop();
    await rm(root, { recursive: true });
  });

  test("runs as its own user, without groups, capabilities or a way to get any, inside its system call filter", async () => {
    const status = await readFile(proc("status"), "utf8");
    const field = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "missing";
    expect(field("Uid").split("\t")).toEqual(Array(4).fill(String(UID)));
    expect(field("Gid").split("\t")).toEqual(Array(4).fill(String(UID)));
    expect(field("Groups")).toBe("");
    // What it may get at most is of no use to who may gain nothing by running a program.
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(field(set)).toBe("0000000000000000");
    expect(field("CapBnd"), "those that its jailer needed").toBe("00000000082000c3");
    expect(field("NoNewPrivs")).toBe("1");
    expect(field("Seccomp")).toBe("2");
  });

  test("has namespaces of its own, all of them", async () => {
    for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "uts"]) {
      expect(await readlink(proc(`ns/${name}`)), name).not.toBe(await readlink(`/proc/self/ns/${name}`));
    }
  });

  test("sees its machine's files and KVM, and has no folder that it may write to", async () => {
    const find = async (...what: string[]) => (await run("find", [proc("root/"), ...what])).stdout.trim().split("\n");
    const names = ["dev", "dev/kvm", "firecracker", "firecracker.pid", "initrd", "rootfs.ext4", "run"];
    const more = ["run/firecracker.socket", "run/vsock.sock", "vmlinux", "vmm.log"];
    expect((await find("-mindepth", "1", "-printf", "%P\\n")).toSorted()).toEqual([...names, ...more]);
    expect(await find("-type", "d", "(", "-uid", String(UID), "-o", "-perm", "/022", ")")).toEqual([""]);
    for (const file of ["initrd", "rootfs.ext4", "vmlinux"]) {
      expect(await stat(proc(`root/${file}`)), file).toMatchObject({ uid: 0, mode: 0o100444 });
    }
    expect(await stat(proc("root/"))).toMatchObject({ uid: 0, mode: 0o40711 });
  });

  test("is bounded in files, their size and core dumps", async () => {
    const limits = await readFile(proc("limits"), "utf8");
    expect(limits).toMatch(/^Max core file size +0 +0 /m);
    expect(limits).toMatch(/^Max open files +256 +256 /m);
    expect(limits).toMatch(/^Max file size +67108864 +67108864 /m);
  });

  test("goes on at the end of a console that was cut short", async () => {
    await poll(size, { what: "the console", timeoutMs: 60_000, intervalMs: 50 });
    await truncate(spec.paths.console, 0);
    await poll(size, { what: "more console", timeoutMs: 60_000, intervalMs: 50 });
    expect(await readFile(spec.paths.console)).not.toContain(0);
  });

  test("ends when nobody cut its console and that reached the limit: the file grows no more, and the end says so", async () => {
    await stop();
    let pid: number | undefined;
    const onProcess = async (told: ProcessIdentity): Promise<void> => void (pid = told.pid);
    const beforeRun = async (): Promise<void> => void (await run("prlimit", [`--pid=${pid}`, "--fsize=600"]));
    await start({}, { onProcess, beforeRun });
    expect(await end()).toBe("ended with code 151");
    expect((await stat(spec.paths.console)).size).toBe(600);
  });

  test("ends by itself when its guest restarts", async () => {
    await stop();
    await start({ kernelArgs: ["rdinit=/none", "init=/none"] });
    expect(await end()).toBe("ended with code 0");
    expect(vmm.process && (await isAlive(vmm.process))).toBe(false);
  });

  test("names its chroot as long as it is there", async () => {
    const chroot = { kind: "chroot", ref: `${spec.vmId}/jail` };
    expect(await vmm.left()).toContainEqual(chroot);
    await rm(spec.paths.root, { recursive: true });
    expect(await vmm.left()).not.toContainEqual(chroot);
  });

  test("refuses an image on another file system, and says what to do", async () => {
    await stop();
    const elsewhere = await mkdtemp("/dev/shm/sp-fc-");
    await writeFile(join(elsewhere, "vmlinux"), "");
    const image = { ...spec.image, vmlinux: join(elsewhere, "vmlinux") };
    await expect(start({ image })).rejects.toMatchObject({ code: "images-elsewhere" });
    expect(await readdir("/run/netns")).toContain(namespaceOf(spec.tap, OWNER));
    await rm(elsewhere, { recursive: true });
  });
});
