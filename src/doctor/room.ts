/** Memory, disk and addresses: what each has room for, and which of them ends first. */
import type { StatsFs } from "node:fs";
import { readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "../lib/errors.ts";
import { MIB } from "../lib/units.ts";
import { orAfter } from "../lib/wait.ts";
import { guestAddresses } from "../network/lease.ts";
import { ok, problem, warning, type Check } from "./check.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import type { Host } from "./host.ts";

/** Left to the host and the controller. */
const HOST_MIB = 512;
const IMAGE_BUILD_MIB = 4096;
const LOW_DISK_MIB = 1024;
/** Less than a check is given. */
const CHOICE_MS = 3_000;

/** MicroVMs that fit at once, those that run included. */
export const capacityOf = async (host: Host) => {
  const running = (await host.vmms()).length;
  const byMemory = running + (await roomInMemory(host)).microvms;
  const byAddresses = guestAddresses(host.network).length;
  const byDisk = running + (await roomOnDisk(host)).microvms;
  const microvms = Math.min(byMemory, byAddresses, byDisk);
  const limitedBy = microvms === byMemory ? "memory" : microvms === byAddresses ? "addresses" : "disk";
  return { microvms, running, limitedBy, byMemory, byAddresses, byDisk } as const;
};

export const memory: Check = {
  name: "memory",
  look: async (host) => {
    const { memoryMib } = host.config.vm;
    const { availableMib, perMicrovm, microvms } = await roomInMemory(host);
    const running = (await host.vmms()).length;
    const addresses = guestAddresses(host.network).length;
    const text =
      `${mib(availableMib)} available: room for ${microvms} more microVMs of ${memoryMib} MiB (vm.memoryMib) beside ` +
      `${running} running. All ${addresses} addresses in use would need ${mib(addresses * perMicrovm)}.`;
    return microvms + running > 0 ? ok(text) : problem(text, "free memory, or lower vm.memoryMib (not below 1024)");
  },
};

export const disk: Check = {
  name: "disk",
  look: async (host) => {
    const { folder, freeMib, freeFiles, microvms } = await roomOnDisk(host);
    const where = `${folder} has ${mib(freeMib)} free`;
    const mend = `free space there (df -h ${folder}), or set dataDir to a larger disk`;
    if (microvms < 1) return problem(`${where}: it is full, and no session can be recorded or started.`, mend);
    if (freeFiles < 1000) {
      return problem(`${folder} can hold only ${freeFiles} more files.`, `remove files there (df -i ${folder})`);
    }
    const hasImage = (await host.images.manifest(host.config.image)) !== undefined;
    if (!hasImage && freeMib < IMAGE_BUILD_MIB) {
      return warning(`${where}; building an image takes ${mib(IMAGE_BUILD_MIB)}.`, mend);
    }
    return freeMib < LOW_DISK_MIB ? warning(`${where}, which is little.`, mend) : ok(`${where}.`);
  },
};

const roomInMemory = async (host: Host) => {
  const { config, vmms } = host;
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const availableMib = Number(/^MemAvailable:\s*(\d+) kB/m.exec(meminfo)?.[1] ?? 0) / 1024;
  const perMicrovm = config.vm.memoryMib + (await costOf(host)).overheadMib;
  // A guest's memory is taken as the guest touches it: what runs will still take the rest of its own.
  const promised = (await vmms()).reduce((sum, { residentMib }) => sum + Math.max(0, perMicrovm - residentMib), 0);
  const free = availableMib - promised - HOST_MIB;
  return { availableMib, perMicrovm, microvms: Math.max(0, Math.floor(free / perMicrovm)) };
};

const roomOnDisk = async (host: Host) => {
  const { folder, stats } = await nearest(host.paths.root);
  const freeMib = (stats.bavail * stats.bsize) / MIB;
  // Some file systems do not count files.
  const freeFiles = stats.files === 0 ? Infinity : stats.ffree;
  return { folder, freeMib, freeFiles, microvms: Math.floor(freeMib / (await costOf(host)).diskMib) };
};

/**
 * What a microVM takes besides its guest's memory. Where it takes long to find out which VMM that is, KVM hangs, and what is then
 * fallen back on takes the most of all.
 */
const costOf = async ({ backend, backends }: Host): Promise<Pick<VmmBackend, "overheadMib" | "diskMib">> => {
  const most = (of: "overheadMib" | "diskMib"): number => Math.max(...backends.map((each) => each[of]));
  const dearest = { overheadMib: most("overheadMib"), diskMib: most("diskMib") };
  return (await orAfter(backend(), CHOICE_MS, () => undefined)) ?? dearest;
};

/** The data directory, or the folder that it will be made in. */
const nearest = async (folder: string): Promise<{ folder: string; stats: StatsFs }> => {
  try {
    return { folder, stats: await statfs(folder) };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || folder === "/") throw error;
    return nearest(dirname(folder));
  }
};

const mib = (amount: number): string =>
  amount < 10_240 ? `${Math.floor(amount)} MiB` : `${Math.floor(amount / 1024)} GiB`;
