/**
 * The folder that is Firecracker's whole world, with the machine's files as hard links of the image's and the snapshot's, so that a
 * hundred microVMs share their page cache. Its jailer makes devices and the run folder in it.
 */
import { chmod, chown, link, mkdir, open, realpath, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError, errnoOf } from "../../lib/errors.ts";
import { run } from "../../lib/exec.ts";
import type { VmPaths } from "../../lib/paths.ts";
import { ownFolder } from "../folder.ts";
import { FROZEN_FILES } from "../frozen.ts";
import { IMAGE_FILES, type MicrovmSpec, type StartHooks, type StartPlan } from "../vmm.ts";
import { imagesElsewhere } from "./ground.ts";
import { IN_CHROOT } from "./requests.ts";

const CHROOT = ownFolder("chroot", "jail");

/** Given to the jailer; only root comes in. */
export const jailFolder = CHROOT.path;

/** The folder, while it is there. */
export const leftOfChroot = CHROOT.left;

/** What Firecracker's file is in the jailer's room, whatever it is called on the host: the jailer wants this word, and names a folder by it. */
export const PROGRAM = "/vmm/firecracker";

/** Of a file or socket in the world of a microVM's VMM. */
export const inChroot = (paths: VmPaths, name: keyof typeof IN_CHROOT): string =>
  join(chrootOf(paths), IN_CHROOT[name]);

const chrootOf = (paths: VmPaths): string => join(jailFolder(paths), "root");

/** Where one of them is, in a snapshot's folder. */
export const inSnapshot = (folder: string, name: (typeof FROZEN_FILES)[number]): string =>
  join(folder, IN_CHROOT[name]);

/** Throws AppError `snapshot-missing`, `images-elsewhere` or `image-locked`. */
export const furnish = async (
  { vmId, paths, uid, image }: MicrovmSpec,
  plan: StartPlan,
  { acquire }: Pick<StartHooks, "acquire">,
): Promise<void> => {
  await acquire(CHROOT.kind, CHROOT.ref(vmId));
  const inside = join(basename(PROGRAM), vmId, "root");
  await mkdir(join(jailFolder(paths), inside), { recursive: true, mode: 0o700 });
  await symlink(inside, chrootOf(paths));
  for (const file of [paths.console, paths.vmmLog]) await (await open(file, "a", 0o600)).close();
  // It opens its log itself, which is root's all the same; the console it is handed open.
  await chown(paths.vmmLog, -1, uid);
  await chmod(paths.vmmLog, 0o660);
  await link(paths.vmmLog, inChroot(paths, "log"));
  if (plan.kind === "boot") {
    for (const name of IMAGE_FILES) await linkFile(image[name], inChroot(paths, name));
    return;
  }
  await linkFile(image.rootfs, inChroot(paths, "rootfs"));
  for (const name of FROZEN_FILES) {
    const file = inSnapshot(plan.snapshot, name);
    await linkFile(file, inChroot(paths, name)).catch((cause: unknown) => {
      throw errnoOf(cause) === "ENOENT" ? snapshotMissing(file, cause) : cause;
    });
  }
};

const snapshotMissing = (file: string, cause: unknown): AppError =>
  new AppError("unavailable", "snapshot-missing", `Of the frozen machine ${file} is not there: it can't be cloned.`, {
    hint: "Somebody removed it: a sign-in boots a machine of its own until another was frozen.",
    cause,
  });

/** One more name for a file, in a chroot. Throws AppError `images-elsewhere`, `image-locked`. */
export const linkFile = async (file: string, to: string): Promise<void> => {
  try {
    // A symbolic link would be linked itself, and lead nowhere in there.
    await link(await realpath(file), to);
  } catch (cause) {
    if (!["EXDEV", "EPERM", "ENOTSUP"].includes(errnoOf(cause) ?? "")) throw cause;
    throw (await isLocked(file)) ? imageLocked(file, cause) : imagesElsewhere(`${file} can have none at ${to}.`, cause);
  }
};

/** By `chattr +i` or `+a`, which keep a file from further names, too. What cannot be found out counts as no. */
const isLocked = async (file: string): Promise<boolean> => {
  const asked = await run("lsattr", ["-d", "--", await realpath(file)], { timeoutMs: 5_000 }).catch(() => undefined);
  return /^[^ ]*[ia]/.test(asked?.stdout ?? "");
};

const imageLocked = (file: string, cause: unknown): AppError =>
  new AppError(
    "unavailable",
    "image-locked",
    `Firecracker gets the image by hard links, and ${file} can have none: it is immutable (chattr).`,
    {
      hint: `chattr -ia ${file}: nobody but root writes to an image, and its checksums tell when somebody did (sallyport image verify). Or use QEMU (vmm.backend: qemu).`,
      cause,
    },
  );

/**
 * To be done before the guest runs, when TAP, log and sockets are open: from then on nothing in it is the VMM's to change, so that
 * who breaks out of the guest has no folder to write to, no other device than KVM, and cannot put anything in a socket's place.
 */
export const seal = async (paths: VmPaths): Promise<void> => {
  const root = chrootOf(paths);
  // The program runs and a clone's memory is mapped by now; what the jailer's copy took of the disk is free again.
  const over = [basename(PROGRAM), IN_CHROOT.memory, IN_CHROOT.state];
  for (const name of ["dev/net", "dev/urandom", "dev/userfaultfd", ...over]) {
    await rm(join(root, name), { recursive: true, force: true });
  }
  for (const folder of ["run", "dev", "."]) {
    await chown(join(root, folder), 0, 0);
    await chmod(join(root, folder), 0o711);
  }
};
