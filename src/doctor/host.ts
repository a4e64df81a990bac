/** What the checks are given: where things are, and what several of them ask, asked once. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { createImageStore } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import { macOf } from "../lib/ipv4.ts";
import { formatIssues } from "../lib/issues.ts";
import { silentLogger } from "../lib/logger.ts";
import { once } from "../lib/once.ts";
import { dataPaths, type DataPaths } from "../lib/paths.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { ownerOf, type BridgeOptions } from "../network/bridge.ts";
import { readTable } from "../network/firewall.ts";
import type { FirewallOptions } from "../network/firewall-rules.ts";
import type { GuestNic } from "../network/guest-nic.ts";
import { readForwarding, readLinks } from "../network/ip.ts";
import { vmmUids } from "../lib/user-range.ts";
import { parseBridgeCidr } from "../network/lease.ts";
import { standardBackends } from "../vmm/backends.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import { listStrangers, listVmms } from "../vmm/process.ts";

export type RunningGuest = { vmId: string } & Omit<GuestNic, "uid">;

export interface HostOptions {
  config: Config;
  /** Folders with programs, joined by `:`, besides the system's own. */
  path: string;
  /** Compute checksums, which takes longer than the ten seconds that all else has. */
  isDeep: boolean;
}

export type Host = ReturnType<typeof createHost>;

/** A good KVM needs under a second; the rest of the ten seconds that doctor has is for a busy host. */
const KVM_MS = 6_000;

/** Each candidate's programs are asked one after the other, before KVM is tried. */
const VERSION_MS = 1_500;

/** Less than a check is given, which then can say what did not answer. */
export const TOOL_MS = 4_000;

export const createHost = ({ config, path, isDeep }: HostOptions) => {
  const paths = dataPaths(config.dataDir);
  const uids = vmmUids(config.vm.uidBase);
  const range = { cgroup: paths.cgroup, vms: paths.vms, uids };
  const images = createImageStore(paths);
  const isRoot = process.getuid?.() === 0;
  const backends = standardBackends({
    ...config,
    path,
    paths,
    probe: { cacheFile: paths.kvmProbe, timeoutMs: KVM_MS, keepsVerdict: false },
    versionMs: VERSION_MS,
    logger: silentLogger(),
  });
  /** What starts new microVMs; undefined where that can't be found out: by another user than root, or without an image. */
  const choice = once(async () => {
    const image = isRoot ? await images.find(config.image) : undefined;
    return image && backends.choose(image.vmlinux);
  });
  /** The last candidate is what is left when nobody knows. */
  const backend = async (): Promise<VmmBackend | undefined> =>
    (await choice().catch(() => undefined))?.backend ?? backends.candidates.at(-1);
  const vmms = once(async () => {
    // A VMM may have more than one process, and whoever broke out of it any number.
    const byMicrovm = Map.groupBy(await listVmms(range), ({ vmId }) => vmId);
    return Promise.all(
      [...byMicrovm].map(async ([vmId, found]) => {
        const resident = await Promise.all(found.map(({ process }) => residentMib(process.pid)));
        return { vmId, residentMib: resident.reduce((sum, mib) => sum + mib, 0) };
      }),
    );
  });
  const { cidr, bridge, table, allow } = config.network;
  const network: BridgeOptions & FirewallOptions = {
    ...parseBridgeCidr(cidr),
    bridge,
    table,
    allow,
    owner: ownerOf(paths.resolver),
    vmmUids: uids,
    controllerUid: process.getuid?.() ?? 0,
  };
  return {
    config,
    paths,
    images,
    backends: backends.all,
    choice,
    /** That of `choice`, or the one that is fallen back on. */
    backend,
    path: `${path}:${SYSTEM_PATH}`,
    isRoot,
    isDeep,
    network,
    /** MicroVMs of this data directory, whoever started them. */
    vmms,
    /** Processes with a number that is for microVMs, which are none's. */
    strangers: once(() => listStrangers(range)),
    /** Their network, out of their config.json; root only. */
    guests: once(async () =>
      (await Promise.all((await vmms()).map(({ vmId }) => readGuest(paths, vmId)))).filter((g) => g !== undefined),
    ),
    links: once(() => readLinks(TOOL_MS)),
    /** Of our bridge. */
    forwarding: once(() => readForwarding(bridge, TOOL_MS)),
    /** Of ours; root only. */
    table: once(() => readTable(table, TOOL_MS)),
  };
};

const residentMib = async (pid: number): Promise<number> => {
  const status = await unlessGone(readFile(`/proc/${pid}/status`, "utf8"));
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status ?? "")?.[1] ?? 0) / 1024;
};

/** A clone was started with its template's MAC, and is known to its host by its own. */
const vmConfig = z.object({ spec: z.object({ tap: z.string(), address: z.ipv4() }) });

/** Undefined for one that is being destroyed while we look. Throws AppError `vm-config-strange`. */
const readGuest = async (paths: DataPaths, vmId: string): Promise<RunningGuest | undefined> => {
  const text = await unlessGone(readFile(paths.vm(vmId).config, "utf8"));
  if (text === undefined) return undefined;
  const { data, error } = vmConfig.safeParse(JSON.parse(text));
  if (data) return { vmId, ...data.spec, mac: macOf(data.spec.address) };
  const sentence = `What microVM ${vmId} was started with can't be read: ${formatIssues(error).join(", ")}.`;
  throw new AppError("internal", "vm-config-strange", sentence, {
    hint: "Another version started it: look with that one, or end its session: sallyport ls --vms, then sallyport destroy SESSION.",
  });
};

/** Files of a process that may end, or a microVM that may be destroyed, while we look. */
const unlessGone = (text: Promise<string>): Promise<string | undefined> =>
  unlessMissing(text, undefined, ["ENOENT", "ESRCH"]);
