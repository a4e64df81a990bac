/** Whether Firecracker's jailer can make its room where microVMs have their folders: what would else end every start. */
import { open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, errnoOf } from "../../lib/errors.ts";

/**
 * Of the jailer: to make devices, give them and folders to the user, change the root, become the user; with their numbers (capability.h). Gone when it
 * has become the user.
 */
export const CAPABILITIES = { chown: 0, dac_override: 1, mknod: 27, setgid: 6, setuid: 7, sys_admin: 21 };

/** A folder named by its place, without a right to read it (open(2)); Node has no name for it. */
const O_PATH = 0o10_000_000;
/** What a file system may be mounted with that keeps devices, programs and links in it from being used. */
const FORBIDDING = ["nodev", "noexec", "nosymfollow"];

/**
 * `images` and `vms`: folders of the image and of microVMs, or what they will be made in. Changes nothing. Throws AppError
 * `images-elsewhere`, `mount-forbids`, `rights-missing`.
 */
export const requireGround = async (images: string, vms: string): Promise<void> => {
  const [from, to] = await Promise.all([mountOf(images), mountOf(vms)]);
  if (from.id !== to.id) {
    throw imagesElsewhere(`${images} (mounted at ${from.at}) and ${vms} (at ${to.at}) are not on one mount.`);
  }
  const forbidden = FORBIDDING.filter((option) => to.options.includes(option));
  if (forbidden.length > 0) {
    const sentence = `${vms} is on ${to.at}, which is mounted ${forbidden.join(", ")}: Firecracker's jail is a folder with devices and a program in it.`;
    throw new AppError("unavailable", "mount-forbids", sentence, {
      hint: `mount -o remount,${forbidden.map((option) => option.replace(/^no/, "")).join(",")} ${to.at} (and in /etc/fstab), or have dataDir elsewhere, or use QEMU (vmm.backend: qemu).`,
    });
  }
  const missing = missingRights(await readFile("/proc/self/status", "utf8"));
  if (missing.length === 0) return;
  const sentence = `This process, and what it starts, may not have ${missing.join(", ")}, which Firecracker's jailer needs.`;
  throw new AppError("unavailable", "rights-missing", sentence, {
    hint: "Grant it in the service (CapabilityBoundingSet=, PrivateDevices=no) or to the container, or use QEMU (vmm.backend: qemu).",
  });
};

/** By what the jailer gets the files of an image and of a snapshot: hard links, which lead out of no mount. */
export const imagesElsewhere = (sentence: string, cause?: unknown): AppError =>
  new AppError("unavailable", "images-elsewhere", `Firecracker gets a machine's files by hard links: ${sentence}`, {
    hint: "Have the data directory's folders images, snapshots and vms on one file system that knows hard links, without mounts of their own; or use QEMU (vmm.backend: qemu).",
    cause,
  });

/** The mount that a folder is on, as proc_pid_mountinfo(5) has it; of one that is not there yet, that of the nearest above. */
const mountOf = async (folder: string): Promise<{ id: string; at: string; options: string[] }> => {
  const handle = await open(folder, O_PATH).catch((error: unknown) => {
    if (errnoOf(error) !== "ENOENT" || folder === "/") throw error;
  });
  if (!handle) return mountOf(dirname(folder));
  try {
    const [opened, mounts] = await Promise.all(
      [`fdinfo/${handle.fd}`, "mountinfo"].map((file) => readFile(`/proc/self/${file}`, "utf8")),
    );
    const id = /^mnt_id:\s*(\d+)$/m.exec(opened ?? "")?.[1] ?? "";
    const fields = (mounts ?? "").split("\n").map((line) => line.split(" "));
    const [, , , , at = folder, options = ""] = fields.find(([number]) => number === id) ?? [];
    return { id, at: at.replaceAll("\\040", " "), options: options.split(",") };
  } finally {
    await handle.close();
  }
};

/** Of those the jailer works with, by the text of /proc/PID/status. Pure. */
export const missingRights = (status: string): string[] => {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return Object.entries(CAPABILITIES)
    .filter(([, number]) => ((bounding >> BigInt(number)) & 1n) === 0n)
    .map(([name]) => `CAP_${name.toUpperCase()}`);
};
