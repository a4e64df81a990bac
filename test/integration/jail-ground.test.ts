/** Data directories whose mounts keep Firecracker's jail from being made: found before a start, which another VMM then gets. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { dataPaths, type DataPaths } from "../../src/lib/paths.ts";
import { chooseBackend } from "../../src/vmm/choice.ts";
import { createFirecrackerBackend } from "../../src/vmm/firecracker/backend.ts";
import type { MicrovmSpec, VmmBackend } from "../../src/vmm/vmm.ts";
import { BOOT, hooks } from "../conformance/vmm-suite.ts";
import { elfProgram } from "../fixtures/elf-program.ts";
import { createGuardedFolder } from "../fixtures/guarded-folder.ts";

let guarded: ReturnType<typeof createGuardedFolder>;
let paths: DataPaths;
let firecracker: VmmBackend;
let mounted: string[];
const other = {
  name: "other",
  suits: async () => ({ accel: "kvm", why: "Other 1.0 in KVM." }),
} as unknown as VmmBackend;

beforeEach(() => {
  mounted = [];
  guarded = createGuardedFolder();
  chmodSync(guarded.folder, 0o755);
  paths = dataPaths(join(guarded.folder, "data"));
  mkdirSync(paths.root);
  for (const [name, says] of [
    ["firecracker", "Firecracker v1.12.1"],
    ["jailer", "Jailer v1.12.1"],
  ] as const) {
    const file = join(guarded.folder, name);
    writeFileSync(file, elfProgram({ says, ran: `${file}-ran` }), { mode: 0o755 });
  }
  const kvm = async () => ({ usable: true, reason: "It works.", measuredMs: 0 });
  firecracker = createFirecrackerBackend({ searchPath: guarded.folder, kvm, paths });
});
afterEach(async () => {
  for (const folder of mounted.toReversed()) await run("umount", [folder]);
  guarded.remove();
});

const mount = async (folder: string, ...args: string[]): Promise<void> => {
  mkdirSync(folder, { recursive: true });
  await run("mount", [...args, folder]);
  mounted.push(folder);
};
const mountData = (options: string) => mount(paths.root, "-t", "tmpfs", "-o", `mode=711,${options}`, "sallyport-test");
const makeFolders = () => {
  for (const folder of [join(paths.images, "abc"), paths.vms]) mkdirSync(folder, { recursive: true });
};
const vmlinux = () => join(paths.images, "abc", "vmlinux");

const isRefused = async (says: { code: string; message: unknown; hint: unknown }): Promise<void> => {
  await expect(firecracker.suits(vmlinux())).rejects.toMatchObject(says);
  await expect(firecracker.checks[0]?.look()).rejects.toMatchObject(says);
  const made: unknown[] = [];
  const spec = { paths: paths.vm("abc"), image: { vmlinux: vmlinux() } } as MicrovmSpec;
  const acquire = async (...thing: unknown[]) => void made.push(thing);
  await expect(firecracker.start(spec, BOOT, { ...hooks(), acquire })).rejects.toMatchObject(says);
  expect(made).toEqual([]);
  const { backend, why } = await chooseBackend([firecracker, other], vmlinux());
  expect([backend.name, why]).toEqual(["other", expect.stringMatching(/^Other 1\.0 in KVM\. Not firecracker: /)]);
};

test.each(["nodev", "noexec", "nodev,noexec"])(
  "a data directory mounted %s is refused, and says what mends it",
  async (options) => {
    await mountData(options);
    makeFolders();
    await isRefused({
      code: "mount-forbids",
      message: expect.stringContaining(`${paths.root}, which is mounted ${options.replace(",", ", ")}:`),
      hint: expect.stringContaining(`remount,${options.replaceAll("no", "")} ${paths.root} `),
    });
  },
);

test("images on a mount of their own are refused, also when it is of the same file system", async () => {
  await mountData("dev,exec");
  makeFolders();
  await firecracker.suits(vmlinux());
  await mount(paths.images, "--bind", paths.images);
  await isRefused({
    code: "images-elsewhere",
    message: expect.stringContaining(`(mounted at ${paths.images}) and ${paths.vms}`),
    hint: expect.stringContaining("without mounts of their own"),
  });
});

test("where nothing is in the way it suits, also before the folders are there", async () => {
  await mountData("dev,exec");
  expect(await firecracker.checks[0]?.look()).toMatchObject({ result: "ok" });
  makeFolders();
  expect(await chooseBackend([firecracker, other], vmlinux())).toMatchObject({ backend: { name: "firecracker" } });
});
