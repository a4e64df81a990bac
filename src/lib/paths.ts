import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every path below the data directory; nobody else joins them. docs/DATA-DIR.md draws the tree. */
export const dataPaths = (dataDir: string) => pathsBelow(dataDir, cgroupOf(dataDir));

/** `cgroup`: the control group of its microVMs' groups, as in /proc/PID/cgroup. */
const pathsBelow = (dataDir: string, cgroup: string) => ({
  root: dataDir,
  database: join(dataDir, "sallyport.db"),
  adminKey: join(dataDir, "admin.key"),
  hostId: join(dataDir, "host-id"),
  receiptKey: join(dataDir, "receipt-key.pem"),
  images: join(dataDir, "images"),
  snapshots: join(dataDir, "snapshots"),
  imageCache: join(dataDir, "cache"),
  kvmProbe: join(dataDir, "cache", "kvm-probe.json"),
  resolver: join(dataDir, "resolver"),
  vms: join(dataDir, "vms"),
  cgroup,
  vm: (vmId: string) => vmPaths(join(dataDir, "vms", vmId), join(cgroup, vmId)),
  evidence: (sessionId: string) => join(dataDir, "evidence", sessionId),
  providers: join(dataDir, "providers"),
});

export const DEFAULT_DATA_DIR = "/var/lib/sallyport";

/**
 * Where a controller's API listens besides TCP. Below /run whatever the data directory is, because there nobody but root can put
 * anything, and paths of sockets must be short (107 bytes).
 */
export const apiSocketOf = (dataDir: string): string => {
  const name = dataDir === DEFAULT_DATA_DIR ? "api" : wordOf(dataDir);
  return join("/run/sallyport", `${name}.sock`);
};

/** Two controllers on one host have two data directories, and share no group; one has one, whatever links lead to its directory. */
const cgroupOf = (dataDir: string): string => `/sallyport-${wordOf(realOf(dataDir))}`;

/** Without links, as far as it is there and may be looked at. */
const realOf = (path: string): string => {
  try {
    return realpathSync(path);
  } catch {
    // "/" always is.
    return join(realOf(dirname(path)), basename(path));
  }
};

const wordOf = (dataDir: string): string => createHash("sha256").update(dataDir).digest("hex").slice(0, 12);

/** All that one microVM has on disk: removing `root` removes everything. `cgroup`: its control group, as in /proc/PID/cgroup. */
export const vmPaths = (root: string, cgroup: string) => ({
  root,
  cgroup,
  config: join(root, "config.json"),
  console: join(root, "console.log"),
  vmmLog: join(root, "vmm.log"),
  channelLog: join(root, "channel.log"),
});

export type DataPaths = ReturnType<typeof dataPaths>;
export type VmPaths = ReturnType<typeof vmPaths>;

/** Root of the installed package: from `src/lib/` and from the bundle in `dist/` alike. */
export const packageRoot = (): string => {
  const here = fileURLToPath(import.meta.url);
  return here.slice(0, here.lastIndexOf(here.includes("/src/lib/") ? "/src/lib/" : "/dist/"));
};
