/**
 * What every VMM backend offers. A start answers a handle, and `reopen` the same for a microVM of a former controller: what a
 * VMM's sockets are called, how it is spoken to and what it leaves on the host is known to its backend alone.
 */
import type { OpenStream } from "../lib/open-stream.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { VmPaths } from "../lib/paths.ts";
import type { ExitCodes } from "./exit.ts";

/** Of an image, what a machine is booted from. */
export const IMAGE_FILES = ["vmlinux", "initrd", "rootfs"] as const;

export interface MicrovmSpec {
  vmId: string;
  paths: VmPaths;
  image: Record<(typeof IMAGE_FILES)[number], string>;
  /** Appended to what the backend itself needs on the kernel's command line. */
  kernelArgs: string[];
  vcpuCount: number;
  memoryMib: number;
  tap: string;
  /** That the network card is made with; a clone's agent gives it another. */
  mac: string;
  /** IPv4 that the guest shall have, however it is told: on a kernel's command line, or by its agent. For who reads config.json. */
  address: string;
  /** File of the network namespace that the VMM runs in, where it finds its TAP by name and nothing else. */
  netns: string;
  /** Unprivileged user and group the VMM runs as, and nothing else does; owner of its sockets and the TAP. */
  uid: number;
}

/** How guests would run here. */
export interface Suitability {
  /** In hardware virtualisation, or slower by an order of magnitude. */
  accel: "kvm" | "emulation";
  /** For people, with the VMM's name and version. */
  why: string;
}

/** How a machine comes to life. */
export type StartPlan =
  | { kind: "boot" }
  /**
   * As a clone of the template that was frozen into this folder, which is only read. Its specification is the template's, in all that
   * makes the machine: image, kernel line, processors, memory, MAC.
   */
  | { kind: "restore"; snapshot: string };

export interface StartHooks {
  /** Told of each thing on the host before it is made: its kind, as in the ledger, and its name. */
  acquire: (kind: string, ref: string) => Promise<void>;
  /** Told of the process as soon as there is one, before anything is waited for. */
  onProcess: (process: ProcessIdentity) => Promise<void>;
  /**
   * Of a boot: the VMM has its TAP open, which may be moved into another namespace now, and the guest does not run yet. It may still be
   * at work when the start was ended.
   */
  beforeRun: () => Promise<void>;
  /** Ends the start at once, whatever it waits for; no process is left then, and the start rejects with its reason. */
  signal: AbortSignal;
}

/** By what a microVM's VMM is found again. */
export interface VmmRecord {
  vmId: string;
  paths: VmPaths;
  uid: number;
  /** Null: its start was not seen to its end. */
  process: ProcessIdentity | null;
}

/** Something of a VMM on this host, by its kind in the ledger. */
export interface Left {
  kind: string;
  ref: string;
}

/** A microVM's VMM, started by this controller or a former one. Holds nothing open. */
export interface MicrovmHandle {
  readonly process: ProcessIdentity | null;
  /** Opens the stream to the guest's agent; one at a time. */
  readonly openChannel: OpenStream;
  /** Asks the VMM itself. Rejects when it does not answer in time. */
  status(timeoutMs: number): Promise<MachineStatus>;
  /** All that runs for this microVM now, whatever it calls itself. */
  processes(): Promise<ProcessIdentity[]>;
  /**
   * Kills all that runs for this microVM, waits until it is seen gone, and removes its control group. Idempotent; never signals
   * another microVM's process. Throws AppError `process-stays`, `cgroup-refused`.
   */
  kill(): Promise<void>;
  /** What of its own is still on this host. */
  left(): Promise<Left[]>;
}

/** A microVM whose machine may be frozen, once. No other has a road to there: what a person signed in to can't be kept. */
export interface Template extends MicrovmHandle {
  readonly process: ProcessIdentity;
  /**
   * Its machine stands still, and all that clones need of it is in the folder it was started for: complete, on the disk, root's and
   * read-only. Throws AppError `vmm-refused`, `vmm-silent`, the system's own when the disk is full; the signal's reason.
   */
  freeze(signal: AbortSignal): Promise<void>;
}

/** Of a backend that can clone machines. */
export interface Snapshots {
  /**
   * All that a snapshot made here depends on besides image and machine, as words by name: the VMM's exact build, how instructions run,
   * the processor, the host's kernel. One made on other ground can't be restored.
   */
  ground(vmlinux: string): Promise<Readonly<Record<string, string>>>;
  /** As `VmmBackend.start` boots, but a machine that may be frozen into `folder`, which is empty, root's, and in the data directory. */
  startTemplate(spec: MicrovmSpec, folder: string, hooks: StartHooks): Promise<Template>;
}

export type MachineStatus = "running" | "paused" | "shutdown" | "other";

/** Where microVMs of one controller are. */
export interface VmmRange {
  /** Control group that theirs are in. */
  cgroup: string;
  /** Folder that theirs are in. */
  vms: string;
  /** First and last user that their VMMs run as. */
  uids: readonly [number, number];
}

export interface FoundVmm {
  vmId: string;
  uid: number;
  process: ProcessIdentity;
}

/** One of the lines of `doctor`, in the same words as there. Changes nothing on the host. */
export interface VmmCheck {
  name: string;
  look(): Promise<{ result: "ok" | "warning" | "problem" | "unchecked"; text: string; remedy?: string }>;
}

export interface VmmBackend {
  readonly name: string;
  /** MiB that a VMM takes besides its guest's memory, at most. */
  readonly overheadMib: number;
  /** MiB on disk that one microVM may come to while no controller looks after it. */
  readonly diskMib: number;
  /** What its VMM's exit codes mean. */
  readonly exitCodes: ExitCodes;
  /** Whether this host can run it. */
  readonly checks: readonly VmmCheck[];
  /** Where this kind of VMM can clone. */
  readonly snapshots?: Snapshots;
  /** Looks whether and how guests would run here, with `vmlinux`, an image's kernel. Throws AppError with what is against it. */
  suits(vmlinux: string): Promise<Suitability>;
  /**
   * Writes config.json, starts the VMM detached in its own process group and its jail, and returns when its machine runs. The caller
   * has created `paths.root` and, in `netns`, the TAP. Throws AppError `vmm-died` with the end of its log; whatever fails, no process
   * is left, and its control group is until `kill`, with what it counted.
   */
  start(spec: MicrovmSpec, plan: StartPlan, hooks: StartHooks): Promise<MicrovmHandle & { process: ProcessIdentity }>;
  /** The handle of a microVM that this backend started, whatever became of it. Looks at nothing. */
  reopen(vm: VmmRecord): MicrovmHandle;
}
