/** Swap that whoever has the disk can read. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { unlessMissing } from "../lib/unless-missing.ts";

/** Names out of /proc/swaps, of partitions and files that are on nothing encrypted. */
export const openSwaps = async (root: string): Promise<string[]> => {
  const text = await unlessMissing(readFile(join(root, "/proc/swaps"), "utf8"), "");
  const names = text
    .split("\n")
    .slice(1)
    .flatMap((line) => line.split(/\s/)[0] || []);
  const isOpen = await Promise.all(names.map(async (name) => !(await isGuarded(root, name))));
  return names.filter((_, index) => isOpen[index]);
};

const isGuarded = async (root: string, name: string): Promise<boolean> => {
  // A space in it is written as \040.
  const path = join(root, name.replaceAll("\\040", " "));
  const found = await unlessMissing(stat(path), undefined);
  if (!found) return false;
  if (!name.startsWith("/dev/")) return isEncrypted(join(root, "/sys/dev/block", numberOf(found.dev)));
  const device = basename(await realpath(path));
  const folder = join(root, "/sys/class/block", device);
  if (!device.startsWith("zram")) return isEncrypted(folder);
  // Compressed memory, which may have a device to write what is idle to.
  const backing = (await unlessMissing(readFile(join(folder, "backing_dev"), "utf8"), "none")).trim();
  return backing === "none" || isGuarded(root, backing);
};

/** `major:minor`, as glibc packs them (gnu_dev_makedev). */
const numberOf = (device: number): string => `${(device >> 8) & 0xfff}:${(device & 0xff) | ((device >> 12) & 0xfff00)}`;

/** Of a block device, by its folder in /sys: it is of dm-crypt, or everything below it is. */
const isEncrypted = async (device: string): Promise<boolean> => {
  if ((await unlessMissing(readFile(join(device, "dm/uuid"), "utf8"), "")).startsWith("CRYPT-")) return true;
  const below = await unlessMissing(readdir(join(device, "slaves")), []);
  const all = await Promise.all(below.map((slave) => isEncrypted(join(device, "slaves", slave))));
  return all.length > 0 && all.every(Boolean);
};
