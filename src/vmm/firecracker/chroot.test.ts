import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../../lib/exec.ts";
import { vmPaths } from "../../lib/paths.ts";
import { MAX_FILE_BYTES } from "../jail.ts";
import type { MicrovmSpec, StartPlan } from "../vmm.ts";
import { furnish, inChroot, leftOfChroot } from "./chroot.ts";
import { inRoom } from "./jail.ts";

let root: string;
let spec: MicrovmSpec;

beforeEach(() => {
  root = mkdtempSync("/tmp/sp-chroot-");
  const paths = vmPaths(join(root, "vms", "abc"), "/sallyport-1/abc");
  mkdirSync(paths.root, { recursive: true });
  const image = { vmlinux: join(root, "vmlinux"), initrd: join(root, "initrd"), rootfs: join(root, "rootfs.ext4") };
  for (const file of Object.values(image)) writeFileSync(file, file);
  spec = { vmId: "abc", paths, image, uid: process.getuid?.() ?? 0 } as MicrovmSpec;
});
afterEach(() => rmSync(root, { recursive: true }));

const furnished = async (plan: StartPlan = { kind: "boot" }) => {
  const told: unknown[] = [];
  await furnish(spec, plan, { acquire: async (kind, ref) => void told.push({ kind, ref }) });
  return told;
};

test("has the image's own files, not copies, in folders that only root enters", async () => {
  expect(await furnished()).toEqual([{ kind: "chroot", ref: "abc/jail" }]);
  for (const file of ["vmlinux", "initrd", "rootfs"] as const) {
    expect(statSync(inChroot(spec.paths, file)).ino).toBe(statSync(spec.image[file]).ino);
  }
  expect(statSync(inChroot(spec.paths, "log")).ino).toBe(statSync(spec.paths.vmmLog).ino);
  expect(statSync(join(spec.paths.root, "jail")).mode & 0o777).toBe(0o700);
  // The log is not its user's own: that could keep others from it.
  expect(statSync(spec.paths.vmmLog)).toMatchObject({ mode: 0o100660, uid: process.getuid?.() });
});

test("has what an image's symbolic links lead to", async () => {
  const initrd = join(root, "link");
  symlinkSync("initrd", initrd);
  spec = { ...spec, image: { ...spec.image, initrd } };
  await furnished();
  expect(lstatSync(inChroot(spec.paths, "initrd")).ino).toBe(statSync(initrd).ino);
});

test("an image that is immutable is told so, with what mends it", async ({ skip }) => {
  const { initrd } = spec.image;
  const locked = await run("chattr", ["+i", initrd]).catch(() => undefined);
  if (!locked) skip("no file can be made immutable here");
  const refusal: unknown = await furnished().catch((error: unknown) => error);
  await run("chattr", ["-i", initrd]);
  expect(refusal).toMatchObject({
    code: "image-locked",
    message: expect.stringContaining(`${initrd} can have none: it is immutable`),
    hint: expect.stringContaining(`chattr -ia ${initrd}`),
  });
});

test("is where the jailer will look, by the name that it is given, which has the word that it wants", async () => {
  await furnished();
  const line = inRoom(spec, { firecracker: "/opt/fc-1.12.1", jailer: "/opt/j" }, 3);
  const name = basename(line[line.indexOf("--exec-file") + 1] ?? "");
  expect(name).toContain("firecracker");
  const made = join(spec.paths.root, "jail", name, "abc", "root", "vmlinux");
  expect(readFileSync(made, "utf8")).toBe(spec.image.vmlinux);
});

test("is named as left until it is removed", async () => {
  const vm = { ...spec, process: null };
  expect(await leftOfChroot(vm)).toEqual([]);
  await furnished();
  expect(await leftOfChroot(vm)).toEqual([{ kind: "chroot", ref: "abc/jail" }]);
  rmSync(spec.paths.root, { recursive: true });
  expect(await leftOfChroot(vm)).toEqual([]);
});

test.skipIf(!existsSync("/dev/shm"))("an image on another file system is refused with what to do", async () => {
  const elsewhere = mkdtempSync("/dev/shm/sp-chroot-");
  const initrd = join(elsewhere, "initrd");
  writeFileSync(initrd, "");
  spec = { ...spec, image: { ...spec.image, initrd } };
  await expect(furnished()).rejects.toMatchObject({
    code: "images-elsewhere",
    message: expect.stringContaining(initrd),
    hint: expect.stringContaining("on one file system"),
  });
  rmSync(elsewhere, { recursive: true });
});

test("the jailer sees its own program, Firecracker, and its folder, and has the rights for its work and no others", () => {
  const line = inRoom(spec, { firecracker: "/opt/fc", jailer: "/opt/jailer" }, 3).join(" ");
  const jail = join(spec.paths.root, "jail");
  expect(line).toContain(
    "--bounding-set=-all,+chown,+dac_override,+mknod,+setgid,+setuid,+sys_admin -- bwrap --unshare-pid --as-pid-1 ",
  );
  expect([...line.matchAll(/--\S*bind (\S+ \S+)/g)].map(([, bound]) => bound)).toEqual([
    "/opt/fc /vmm/firecracker",
    "/opt/jailer /vmm/jailer",
    `${jail} ${jail}`,
  ]);
  expect(line).toContain(
    `--remount-ro / --chdir / --seccomp 3 -- /vmm/jailer --id abc --exec-file /vmm/firecracker --chroot-base-dir ${jail} `,
  );
  expect(line).toMatch(/ -- --api-sock run\/firecracker\.socket --log-path vmm\.log --level Warning --show-level$/);
});

test.each([
  ["--unshare-pid", "processes of others"],
  ["--as-pid-1", "a process that it would see beside its own"],
  ["--unshare-ipc", "shared memory and queues of others"],
  ["--unshare-uts", "the host's name"],
  ["--unshare-cgroup", "the groups of others"],
  ["--remount-ro /", "a place to write that nothing bounds"],
  ["--resource-limit no-file=256", "all files that the host can have open"],
  [`--resource-limit fsize=${MAX_FILE_BYTES}`, "the host's disk"],
])("the jailer's room has %s, against %s", (words) => {
  const line = ` ${inRoom(spec, { firecracker: "/opt/fc", jailer: "/opt/jailer" }, 3).join(" ")} `;
  expect(line).toContain(` ${words} `);
});
