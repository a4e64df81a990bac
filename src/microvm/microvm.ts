/** Making and unmaking what one microVM owns on this host. The ledger is told first, the undo is always the same road. */
import { mkdir, readdir, rm } from "node:fs/promises";
import type { Config } from "../config/config.ts";
import { RESOURCE_KINDS, type GoneResource, type ResourceKind } from "../contract/session.ts";
import type { Image } from "../image/image.ts";
import type { Ledger } from "./ledger.ts";
import { AppError } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { poll } from "../lib/wait.ts";
import { netmask } from "../network/ipv4.ts";
import { isLeased, releaseAddress } from "../network/lease.ts";
import type { Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import type { Microvm, MicrovmStore } from "./store.ts";

export interface MicrovmDeps {
  config: Config;
  paths: DataPaths;
  db: Db;
  vms: MicrovmStore;
  ledger: Ledger;
  network: Network;
  vmm: VmmBackend;
}

/** A microVM whose VMM was started, by this controller or a former one. */
export type RunningMicrovm = Microvm & { process: ProcessIdentity };

export type Microvms = ReturnType<typeof createMicrovms>;

export const createMicrovms = (deps: MicrovmDeps) => ({
  launch: (vm: Microvm, image: Image) => launch(deps, vm, image),
  adopt: (vm: Microvm) => adopt(deps, vm),
  destroy: (vm: Microvm) => destroy(deps, vm),
});

/** Folder, TAP and VMM process. On failure the caller destroys; whatever was made is in the ledger. */
const launch = async (deps: MicrovmDeps, vm: Microvm, image: Image): Promise<RunningMicrovm> => {
  const { ledger, network, vmm, vms } = deps;
  const paths = deps.paths.vm(vm.id);

  await ledger.acquire(vm.id, "directory", vm.id);
  await mkdir(paths.root, { recursive: true, mode: 0o700 });

  await network.ensureHost();
  await ledger.acquire(vm.id, "tap", vm.tap);
  await ledger.acquire(vm.id, "firewall", vm.address);
  await ledger.acquire(vm.id, "neighbour", vm.mac);
  await network.prepare(vm);
  // A guest that boots is given its address and MAC by its VMM: nobody else's frame can come out of it.
  await network.join(vm);

  await ledger.acquire(vm.id, "sockets", `${vm.id}/run`);
  const process = await vmm.start(
    {
      vmId: vm.id,
      paths,
      image: { vmlinux: image.vmlinux, initrd: image.initrd, rootfs: image.rootfs },
      kernelArgs: [`ip=${vm.address}::${network.gateway}:${netmask(network.prefixLength)}::eth0:off`],
      vcpuCount: deps.config.vm.vcpuCount,
      memoryMib: deps.config.vm.memoryMib,
      tap: vm.tap,
      mac: vm.mac,
      uid: vm.uid,
    },
    async (identity) => {
      await ledger.acquire(vm.id, "process", String(identity.pid));
      await vms.setProcess(vm.id, identity);
    },
  );
  return { ...vm, process };
};

/** A microVM of a former controller: its network is set up again where somebody took it apart. */
const adopt = async ({ network }: MicrovmDeps, vm: Microvm): Promise<void> => {
  try {
    await network.ensureHost();
  } finally {
    // Also when that failed: from now on each round of `ensure` includes this guest.
    try {
      await network.prepare(vm);
    } finally {
      await network.join(vm);
    }
  }
};

/**
 * Ends the process, takes the network apart, removes the folder, returns the lease, and looks after each step whether
 * the thing is really gone. May be called again after a crash at any line. Throws when something refuses to go.
 */
const destroy = async (deps: MicrovmDeps, vm: Microvm): Promise<GoneResource[]> => {
  const { ledger, network } = deps;
  const paths = deps.paths.vm(vm.id);

  for (const process of await processesOf(deps, vm)) await deps.vmm.kill(process);
  await network.remove(vm);
  await rm(paths.root, { recursive: true, force: true });
  await waitUntilMissing(paths.root);
  await recordGone(deps, vm);

  return (await ledger.of(vm.id)).flatMap((entry) =>
    entry.seenGoneAt === null
      ? []
      : [{ kind: entry.kind, ref: entry.ref, acquiredAt: entry.acquiredAt, seenGoneAt: entry.seenGoneAt }],
  );
};

/**
 * After everything was removed, so that a disk too full to write to keeps no microVM alive; each thing is looked for
 * first. Throws AppError `not-gone` when one is still there: no receipt is signed over it.
 */
const recordGone = async ({ db, ledger, network, vmm, paths }: MicrovmDeps, vm: Microvm): Promise<void> => {
  const isRunning = (await vmm.list(paths.vms)).some((entry) => entry.vmId === vm.id);
  const presence = await network.presence(vm);
  await releaseAddress(db, vm.id);
  const isThere: Record<ResourceKind, boolean> = {
    process: isRunning,
    ...presence,
    sockets: false,
    directory: false,
    lease: await isLeased(db, vm.id),
  };
  for (const kind of RESOURCE_KINDS) if (!isThere[kind]) await ledger.seenGone(vm.id, kind);
  const left = RESOURCE_KINDS.filter((kind) => isThere[kind]);
  if (left.length > 0) throw new AppError("internal", "not-gone", `Still there after its removal: ${left.join(", ")}.`);
};

/** The recorded process and any that names this VM: the controller may have died between spawn and record. */
const processesOf = async (deps: MicrovmDeps, vm: Microvm) => {
  const named = (await deps.vmm.list(deps.paths.vms)).filter((entry) => entry.vmId === vm.id).map((e) => e.process);
  const recorded = (await deps.vms.get(vm.id))?.process;
  if (recorded && (await isAlive(recorded)) && !named.some((p) => p.pid === recorded.pid)) named.push(recorded);
  return named;
};

const waitUntilMissing = (folder: string): Promise<true> =>
  poll(async () => ((await unlessMissing(readdir(folder), undefined)) ? undefined : true), {
    what: `the folder ${folder} to be gone`,
    timeoutMs: 5000,
    intervalMs: 50,
  });
