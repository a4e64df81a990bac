/** Facts read from files alone, so that they are there even when no program can be started any more. */
import { readdir, readFile, readlink, statfs } from "node:fs/promises";
import type { networkInterfaces } from "node:os";
import { basename, join } from "node:path";
import type { GuestFacts } from "../contract/diagnosis.ts";
import { unlessMissing } from "../lib/unless-missing.ts";

/** Where facts come from: /proc, /sys, /run and /etc below `root`, and the interfaces of this network namespace. */
export interface Sources {
  root: string;
  interfaces: typeof networkInterfaces;
}

/** What hangs on the virtio bus, with the driver that has taken it. */
export const virtioDevices = async ({ root }: Pick<Sources, "root">): Promise<GuestFacts["virtioDevices"]> => {
  const bus = join(root, "sys/bus/virtio/devices");
  const names = await unlessMissing(readdir(bus), []);
  const devices = names.slice(0, 64).map(async (name) => ({
    name,
    type: Number(await readText(join(bus, name, "device"))),
    driver: await linkTarget(join(bus, name, "driver")),
  }));
  return Promise.all(devices);
};

/** TCP sockets that take connections: all of them, however many. */
export const listeningSockets = async ({ root }: Pick<Sources, "root">): Promise<GuestFacts["listening"]> => {
  const tables = await Promise.all(["net/tcp", "net/tcp6"].map((name) => readText(join(root, "proc", name))));
  return tables
    .flatMap((table) => [...table.matchAll(/^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:0000 0A /gm)])
    .map(([, address = "", port = ""]) => ({ address: addressText(address), port: Number.parseInt(port, 16) }));
};

export const memory = async ({ root }: Sources): Promise<GuestFacts["memory"]> => {
  const meminfo = await readText(join(root, "proc/meminfo"));
  const vmstat = await readText(join(root, "proc/vmstat"));
  const oomKills = Number(/^oom_kill (\d+)$/m.exec(vmstat)?.[1] ?? 0);
  return { totalMib: mibOf(meminfo, "MemTotal"), availableMib: mibOf(meminfo, "MemAvailable"), oomKills };
};

/** A value of /proc/meminfo; 0 when it is not there. */
export const mibOf = (meminfo: string, key: string): number =>
  Math.floor(Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? 0) / 1024);

export const overlayUsedPercent = async ({ root }: Sources): Promise<number> => {
  const { blocks, bfree } = await statfs(root);
  return blocks === 0 ? 0 : Math.round(((blocks - bfree) / blocks) * 100);
};

/** Name of the driver that has taken a device; empty without one. */
export const linkTarget = async (path: string): Promise<string> => basename(await unlessMissing(readlink(path), ""));

/** `0100007F` → `127.0.0.1`: the kernel prints the number as this processor has it in memory. */
export const addressText = (hex: string): string => {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).toReversed());
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join(".");
  const text = bytes.join("").toLowerCase();
  if (/^0{32}$/.test(text)) return "::";
  if (/^0{31}1$/.test(text)) return "::1";
  return (text.match(/.{4}/g) ?? []).join(":");
};

/** Of a line `key=value`; empty without one. */
export const valueOf = (text: string, key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "";

/** Of /proc/uptime. */
export const uptimeSec = async (root: string): Promise<number> =>
  Number((await readFile(join(root, "proc/uptime"), "utf8")).split(" ")[0]);

export const readText = (path: string): Promise<string> => unlessMissing(readFile(path, "utf8"), "");
