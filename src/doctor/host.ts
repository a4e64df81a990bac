/** What the checks are given: where things are, and what several of them ask, asked once. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { createImageStore, type ImageStore } from "../image/store.ts";
import { dataPaths, type DataPaths } from "../lib/paths.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { ownerOf, type BridgeOptions } from "../network/bridge.ts";
import { readTable, type TableView } from "../network/firewall.ts";
import type { FirewallOptions } from "../network/firewall-rules.ts";
import { type ForwardingEntry, type HostLinks, readForwarding, readLinks } from "../network/ip.ts";
import { parseBridgeCidr, vmmUids } from "../network/lease.ts";
import { listVmms } from "../vmm/process.ts";

export interface Host {
  config: Config;
  paths: DataPaths;
  images: ImageStore;
  /** Folders with programs, joined by `:`. */
  path: string;
  isRoot: boolean;
  /** Compute checksums, which takes longer than the ten seconds that all else has. */
  isDeep: boolean;
  network: BridgeOptions & FirewallOptions;
  /** MicroVMs of this data directory, whoever started them. */
  vmms: () => Promise<RunningVmm[]>;
  /** Their network, out of their config.json; root only. */
  guests: () => Promise<RunningGuest[]>;
  links: () => Promise<HostLinks>;
  /** Of our bridge. */
  forwarding: () => Promise<ForwardingEntry[]>;
  /** Of ours; root only. */
  table: () => Promise<TableView | undefined>;
}

export interface RunningVmm {
  vmId: string;
  residentMib: number;
}

export interface RunningGuest {
  vmId: string;
  tap: string;
  mac: string;
  address: string;
}

export interface HostOptions {
  config: Config;
  path: string;
  isDeep: boolean;
}

/** Less than a check is given, which then can say what did not answer. */
const TOOL_MS = 4_000;

export const createHost = ({ config, path, isDeep }: HostOptions): Host => {
  const paths = dataPaths(config.dataDir);
  const vmms = once(async () => {
    const found = await listVmms({ vmsDir: paths.vms, uids: vmmUids(config.vm.uidBase) });
    return Promise.all(found.map(async ({ vmId, process }) => ({ vmId, residentMib: await residentMib(process.pid) })));
  });
  return {
    config,
    paths,
    images: createImageStore(paths),
    path: `${path}:${SYSTEM_PATH}`,
    isRoot: process.getuid?.() === 0,
    isDeep,
    network: {
      ...parseBridgeCidr(config.network.cidr),
      bridge: config.network.bridge,
      table: config.network.table,
      allow: config.network.allow,
      owner: ownerOf(paths.resolver),
      vmmUids: vmmUids(config.vm.uidBase),
      controllerUid: process.getuid?.() ?? 0,
    },
    vmms,
    guests: once(async () =>
      (await Promise.all((await vmms()).map(({ vmId }) => readGuest(paths, vmId)))).filter((g) => g !== undefined),
    ),
    links: once(() => readLinks(TOOL_MS)),
    forwarding: once(() => readForwarding(config.network.bridge, TOOL_MS)),
    table: once(() => readTable(config.network.table, TOOL_MS)),
  };
};

const once = <T>(ask: () => Promise<T>): (() => Promise<T>) => {
  let answer: Promise<T> | undefined;
  return () => (answer ??= ask());
};

const residentMib = async (pid: number): Promise<number> => {
  const status = await unlessGone(readFile(`/proc/${pid}/status`, "utf8"));
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status ?? "")?.[1] ?? 0) / 1024;
};

const vmConfig = z.object({ spec: z.object({ tap: z.string(), mac: z.string(), kernelArgs: z.array(z.string()) }) });

/** Undefined for one that is being destroyed while we look. */
const readGuest = async (paths: DataPaths, vmId: string): Promise<RunningGuest | undefined> => {
  const text = await unlessGone(readFile(paths.vm(vmId).config, "utf8"));
  if (text === undefined) return undefined;
  const { tap, mac, kernelArgs } = vmConfig.parse(JSON.parse(text)).spec;
  const address = /^ip=([\d.]+):/m.exec(kernelArgs.join("\n"))?.[1];
  return address === undefined ? undefined : { vmId, tap, mac, address };
};

/** Files of a process that may end, or a microVM that may be destroyed, while we look. */
const unlessGone = (text: Promise<string>): Promise<string | undefined> =>
  unlessMissing(text, undefined, ["ENOENT", "ESRCH"]);
