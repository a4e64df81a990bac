/** What is free on this host now, in whole MiB. */
import { readFile, statfs } from "node:fs/promises";
import { MIB } from "./units.ts";

/** Memory that a new program can have without any being paged out, by the kernel's estimate. */
export const memAvailableMib = async (): Promise<number> =>
  Math.floor(Number(/^MemAvailable: +(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1]) / 1024);

/** For those who are not root; of the file system that `folder` is in. */
export const diskFreeMib = async (folder: string): Promise<number> => {
  const { bavail, bsize } = await statfs(folder);
  return Math.floor((bavail * bsize) / MIB);
};
