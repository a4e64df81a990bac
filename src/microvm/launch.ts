/** A microVM's folder, network and VMM are made. The ledger is told first, so that `destroyMicrovm` finds whatever there is. */
import { chmod, mkdir } from "node:fs/promises";
import type { StageRecord } from "../contract/session.ts";
import type { Image } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import { netmask } from "../lib/ipv4.ts";
import type { StartPlan } from "../vmm/vmm.ts";
import { failWith } from "./failure.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

export interface LaunchOptions {
  image: Image;
  plan: StartPlan;
  /** When the microVM was asked for, ISO 8601. */
  askedAt: string;
  /** Told the stages passed so far, after each. */
  onStages: (stages: StageRecord[]) => Promise<void>;
  /** Ends the start at once. */
  signal: AbortSignal;
}

/**
 * On failure the caller destroys. A clone is not on the bridge afterwards: `network.join` follows when it has its own address.
 * Throws MicrovmFailure with the backend's own sentence when the VMM does not start, or the signal's reason.
 */
export const launchMicrovm = async (
  deps: MicrovmDeps,
  vm: Microvm,
  options: LaunchOptions,
): Promise<RunningMicrovm> => {
  const { askedAt, onStages } = options;
  const leased: StageRecord = { stage: "leased", startedAt: askedAt, endedAt: now(), source: "ledger" };
  await onStages([leased]);
  const startedAt = now();
  const process = await makeFolderAndNetwork(deps, vm, options.signal)
    .then(() => startVmm(deps, vm, options))
    .catch((error: unknown) => failWith(error, "vmm-up", "Run sallyport doctor on this host."));
  await onStages([leased, { stage: "vmm-up", startedAt, endedAt: now(), source: vm.backend }]);
  return { ...vm, process };
};

const makeFolderAndNetwork = async (
  { ledger, network, paths }: MicrovmDeps,
  vm: Microvm,
  signal: AbortSignal,
): Promise<void> => {
  await ledger.acquire(vm.id, "directory", vm.id);
  // Its parent is there since the controller's start, open for VMMs to pass, or somebody removed it.
  await mkdir(paths.vms, { recursive: true });
  await chmod(paths.vms, 0o711);
  await mkdir(paths.vm(vm.id).root, { recursive: true, mode: 0o700 });

  signal.throwIfAborted();
  await ledger.acquireAll(vm.id, [
    { kind: "netns", ref: network.namespaceOf(vm).name },
    { kind: "tap", ref: vm.tap },
    { kind: "firewall", ref: vm.address },
    { kind: "neighbour", ref: vm.mac },
  ]);
  await network.prepare(vm);
};

const startVmm = async (
  deps: MicrovmDeps,
  vm: Microvm,
  { image, plan, signal }: LaunchOptions,
): Promise<ProcessIdentity> => {
  const { config, network, ledger, vms } = deps;
  await requireOwnUser(deps, vm);
  const spec = {
    vmId: vm.id,
    paths: deps.paths.vm(vm.id),
    image: { vmlinux: image.vmlinux, initrd: image.initrd, rootfs: image.rootfs },
    kernelArgs: [`ip=${vm.address}::${network.gateway}:${netmask(network.prefixLength)}::eth0:off`],
    vcpuCount: config.vm.vcpuCount,
    memoryMib: config.vm.memoryMib,
    tap: vm.tap,
    mac: vm.mac,
    address: vm.address,
    netns: network.namespaceOf(vm).file,
    uid: vm.uid,
  };
  // From here on what runs as that user is this microVM's.
  await ledger.acquire(vm.id, "user", String(vm.uid));
  const { process } = await deps.vmms.of(vm.backend).start(spec, plan, {
    acquire: (kind, ref) => ledger.acquire(vm.id, kind, ref),
    onProcess: async (identity) => {
      await ledger.acquire(vm.id, "process", String(identity.pid));
      await vms.setProcess(vm.id, identity);
    },
    // A guest that boots is given its address and MAC by its VMM: nobody else's frame can come out of it.
    beforeRun: async () => {
      if (plan.kind === "boot") await network.join(vm);
    },
    signal,
  });
  return process;
};

/** What runs as the microVM's user is ended with the microVM: it must be nobody else's. Throws AppError `user-taken`. */
const requireOwnUser = async (deps: MicrovmDeps, vm: Microvm): Promise<void> => {
  const others = await handleOf(deps, vm).processes();
  if (others.length === 0) return;
  const pids = others.map(({ pid }) => pid).join(", ");
  const sentence = `User ${vm.uid}, meant for a microVM, has processes already: ${pids}.`;
  throw new AppError("unavailable", "user-taken", sentence, {
    hint: "Another controller or program uses this range of users: end what runs there, or give this controller another one (vm.uidBase).",
  });
};

const now = (): string => new Date().toISOString();
