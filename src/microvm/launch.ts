/** A microVM's folder, network and VMM are made. The ledger is told first, so that `destroyMicrovm` finds whatever there is. */
import { chmod, mkdir } from "node:fs/promises";
import type { StageRecord } from "../contract/session.ts";
import type { Image } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import { netmask } from "../lib/ipv4.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { MicrovmSpec, StartHooks, StartPlan } from "../vmm/vmm.ts";
import { failWith } from "./failure.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

export interface LaunchOptions {
  image: Image;
  plan: StartPlan;
  /** For people: what is restored, or why it is booted. */
  note?: string;
  /** When the microVM was asked for, ISO 8601. */
  askedAt: string;
  /** That it had its address, user and name by then, where a start before this one recorded it. */
  leased?: StageRecord | undefined;
  /** Told the stages passed so far, and the one that is awaited, after each. */
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
  const { askedAt, image, note, plan, onStages, signal } = options;
  const { leased = { stage: "leased", startedAt: askedAt, endedAt: now(), source: "ledger" } } = options;
  const started: StageRecord = {
    stage: plan.kind === "boot" ? "vmm-up" : "restored",
    startedAt: now(),
    endedAt: null,
    source: vm.backend,
    ...(note === undefined ? {} : { note }),
  };
  // Before anything is made: by it an adoption knows how far the guest is.
  await onStages([leased, started]);
  const { process } = await startMicrovm(deps, vm, {
    spec: plan.kind === "boot" ? bootSpec(deps, vm, image) : machineSpec(deps, vm, image),
    // A guest that boots is given its address and MAC by its VMM: nobody else's frame can come out of it.
    isJoined: plan.kind === "boot",
    start: (spec, hooks) => deps.vmms.of(vm.backend).start(spec, plan, hooks),
    signal,
  }).catch((error: unknown) => failWith(error, started.stage, "Run sallyport doctor on this host."));
  await onStages([leased, { ...started, endedAt: now() }]);
  return { ...vm, process };
};

/** That of every template's card, and of no microVM on the bridge. */
const TEMPLATE_MAC = "06:00:00:00:00:00";

/** A machine without anything of one microVM's: a template, and as its clone begins, whose VMM must make the same one. */
export const machineSpec = (deps: MicrovmDeps, vm: Microvm, image: Image): MicrovmSpec => {
  const { config, network } = deps;
  return {
    vmId: vm.id,
    paths: deps.paths.vm(vm.id),
    image: { vmlinux: image.vmlinux, initrd: image.initrd, rootfs: image.rootfs },
    kernelArgs: [],
    vcpuCount: config.vm.vcpuCount,
    memoryMib: config.vm.memoryMib,
    tap: vm.tap,
    mac: TEMPLATE_MAC,
    address: vm.address,
    netns: network.namespaceOf(vm).file,
    uid: vm.uid,
  };
};

const bootSpec = (deps: MicrovmDeps, vm: Microvm, image: Image): MicrovmSpec => ({
  ...machineSpec(deps, vm, image),
  kernelArgs: [`ip=${vm.address}::${deps.network.gateway}:${netmask(deps.network.prefixLength)}::eth0:off`],
  mac: vm.mac,
});

interface Start<Handle> {
  spec: MicrovmSpec;
  /** Its TAP is on the bridge before its guest runs. */
  isJoined: boolean;
  start: (spec: MicrovmSpec, hooks: StartHooks) => Promise<Handle>;
  signal: AbortSignal;
}

/** Throws what the backend does, and AppError `user-taken`. */
export const startMicrovm = async <Handle>(
  deps: MicrovmDeps,
  vm: Microvm,
  { spec, isJoined, start, signal }: Start<Handle>,
): Promise<Handle> => {
  const { network, ledger, vms } = deps;
  await makeFolderAndNetwork(deps, vm, signal);
  await requireOwnUser(deps, vm);
  // From here on what runs as that user is this microVM's.
  await ledger.acquire(vm.id, "user", String(vm.uid));
  return start(spec, {
    acquire: (kind, ref) => ledger.acquire(vm.id, kind, ref),
    onProcess: async (identity: ProcessIdentity) => {
      await ledger.acquire(vm.id, "process", String(identity.pid));
      await vms.setProcess(vm.id, identity);
    },
    beforeRun: async () => {
      if (isJoined) await network.join(vm);
    },
    signal,
  });
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
