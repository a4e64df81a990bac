/**
 * The folder that is Firecracker's whole world, with the machine's files as hard links of the image's, so that a hundred microVMs
 * share one image's page cache. Its jailer makes devices and the run folder in it.
 */
import { chmod, chown, link, mkdir, open, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { errnoOf } from "../../lib/errors.ts";
import type { VmPaths } from "../../lib/paths.ts";
import { ownFolder } from "../folder.ts";
import { IMAGE_FILES, type MicrovmSpec, type StartHooks } from "../vmm.ts";
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

/** Throws AppError `images-elsewhere`. */
export const furnish = async (
  { vmId, paths, uid, image }: MicrovmSpec,
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
  for (const file of IMAGE_FILES) await linkImage(image[file], inChroot(paths, file));
  await link(paths.vmmLog, inChroot(paths, "log"));
};

const linkImage = async (file: string, to: string): Promise<void> => {
  try {
    await link(file, to);
  } catch (cause) {
    if (!["EXDEV", "EPERM", "ENOTSUP"].includes(errnoOf(cause) ?? "")) throw cause;
    throw imagesElsewhere(`${file} can have none at ${to}.`, cause);
  }
};

/**
 * To be done before the guest runs, when TAP, log and sockets are open: from then on nothing in it is the VMM's to change, so that
 * who breaks out of the guest has no folder to write to, no other device than KVM, and cannot put anything in a socket's place.
 */
export const seal = async (paths: VmPaths): Promise<void> => {
  const root = chrootOf(paths);
  for (const device of ["dev/net", "dev/urandom", "dev/userfaultfd"]) {
    await rm(join(root, device), { recursive: true, force: true });
  }
  for (const folder of ["run", "dev", "."]) {
    await chown(join(root, folder), 0, 0);
    await chmod(join(root, folder), 0o711);
  }
};
