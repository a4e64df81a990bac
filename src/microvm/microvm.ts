/** Making and unmaking what one microVM owns on this host. The ledger is told first, the undo is always the same road. */
import { mkdir, rm, stat } from "node:fs/promises";
import type { Config } from "../config/config.ts";
import { RESOURCE_KINDS, type GoneResource, type ResourceKind } from "../contract/session.ts";
import type { Image } from "../image/image.ts";
import type { Ledger } from "./ledger.ts";
import { Cleanup } from "../lib/cleanup.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { netmask } from "../network/ipv4.ts";
import { isLeased, releaseAddress } from "../network/lease.ts";
import type { Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackend, VmmRecord } from "../vmm/vmm.ts";
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

  await requireOwnUser(deps, vm);
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

/** What runs as the microVM's user is ended with the microVM: it must be nobody else's. Throws AppError `user-taken`. */
const requireOwnUser = async ({ vmm }: MicrovmDeps, vm: Microvm): Promise<void> => {
  const others = await vmm.processes({ vmId: vm.id, uid: vm.uid, process: null });
  if (others.length === 0) return;
  const pids = others.map(({ pid }) => pid).join(", ");
  throw new AppError(
    "unavailable",
    "user-taken",
    `User ${vm.uid}, meant for a microVM, has processes already: ${pids}.`,
    {
      hint: "Another controller or program uses this range of users: end what runs there, or give this controller another one (vm.uidBase).",
    },
  );
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
 * Ends the processes, takes the network apart, removes the folder, each also when another of these steps fails; then looks
 * whether the things are really gone, and returns the lease when all are. May be called again after a crash at any line.
 * Throws AppError `not-gone` when something refuses to go, with all that went wrong.
 */
const destroy = async (deps: MicrovmDeps, vm: Microvm): Promise<GoneResource[]> => {
  const { ledger, network } = deps;
  const paths = deps.paths.vm(vm.id);

  const steps = new Cleanup();
  steps.push("the folder", () => rm(paths.root, { recursive: true, force: true }));
  steps.push("the network", () => network.remove(vm));
  steps.push("the VMM", async () => deps.vmm.kill(await recordOf(deps, vm)));
  const failure = await steps.run().then(
    () => undefined,
    (error: unknown) => error,
  );
  await recordGone(deps, vm, failure);

  return (await ledger.of(vm.id)).flatMap((entry) =>
    entry.seenGoneAt === null
      ? []
      : [{ kind: entry.kind, ref: entry.ref, acquiredAt: entry.acquiredAt, seenGoneAt: entry.seenGoneAt }],
  );
};

/**
 * After everything was removed, so that a disk too full to write to keeps no microVM alive; each thing is looked for
 * first: no receipt is signed over one that is still there. The address goes last of all: with it the VMM's user would
 * belong to somebody else.
 */
const recordGone = async (deps: MicrovmDeps, vm: Microvm, failure: unknown): Promise<void> => {
  const { db, ledger } = deps;
  const isThere = await thingsThere(deps, vm);
  if (!Object.values(isThere).includes(true)) await releaseAddress(db, vm.id);
  const isStill: Record<ResourceKind, boolean> = {
    ...isThere,
    sockets: isThere.directory,
    lease: await isLeased(db, vm.id),
  };
  for (const kind of RESOURCE_KINDS) if (!isStill[kind]) await ledger.seenGone(vm.id, kind);
  const left = RESOURCE_KINDS.filter((kind) => isStill[kind]);
  if (left.length === 0 && failure === undefined) return;
  const what =
    left.length > 0 ? `Still there after its removal: ${left.join(", ")}.` : "All is gone, but not all went well.";
  throw new AppError("internal", "not-gone", failure === undefined ? what : `${what} ${messageOf(failure)}`, {
    hint: "It is tried again each minute; what keeps it is in the sentence, or see: sallyport doctor.",
    cause: failure,
  });
};

const thingsThere = async (deps: MicrovmDeps, vm: Microvm) => ({
  process: (await deps.vmm.processes(await recordOf(deps, vm))).length > 0,
  ...(await deps.network.presence(vm)),
  directory: (await unlessMissing(stat(deps.paths.vm(vm.id).root), undefined)) !== undefined,
});

/** With the process that was recorded last: `vm` may be older than its start. */
const recordOf = async ({ vms }: MicrovmDeps, vm: Microvm): Promise<VmmRecord> => ({
  vmId: vm.id,
  uid: vm.uid,
  process: (await vms.get(vm.id))?.process ?? null,
});
