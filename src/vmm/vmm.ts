/** What every VMM backend offers. Starting a VMM is apart from talking to it, so that a jailer fits in between. */
import type { ProcessIdentity } from "../lib/process.ts";
import type { VmPaths } from "../lib/paths.ts";

export interface MicrovmSpec {
  vmId: string;
  paths: VmPaths;
  image: { vmlinux: string; initrd: string; rootfs: string };
  /** Appended to what the backend itself needs on the kernel's command line. */
  kernelArgs: string[];
  vcpuCount: number;
  memoryMib: number;
  tap: string;
  mac: string;
  /** Unprivileged user and group the VMM runs as, and nothing else does; owner of its sockets, its console file and the TAP. */
  uid: number;
}

/** By what a microVM's VMM is found again. */
export interface VmmRecord {
  vmId: string;
  uid: number;
  /** Null: its start was not seen to its end. */
  process: ProcessIdentity | null;
}

/** Where microVMs of one controller are. */
export interface VmmRange {
  /** Folder with a folder for each of them. */
  vmsDir: string;
  /** First and last user that their VMMs run as. */
  uids: readonly [number, number];
}

export interface FoundVmm {
  vmId: string;
  uid: number;
  process: ProcessIdentity;
}

export interface VmmCapabilities {
  /** Can freeze and clone a running machine. */
  canSnapshot: boolean;
  /** Runs the guest in hardware virtualisation; false: emulation, slower by an order of magnitude. */
  hasKvm: boolean;
}

/** A started VMM's control socket. */
export interface VmmClient {
  /** Asks the VMM itself. Rejects when it does not answer. */
  status(): Promise<"running" | "paused" | "shutdown" | "other">;
  close(): void;
}

export interface VmmBackend {
  readonly name: string;
  /** Version of the VMM on this host. Throws AppError `vmm-missing` or `vmm-too-old` with what to install. */
  version(): Promise<string>;
  capabilities(): Promise<VmmCapabilities>;
  /**
   * Writes config.json, starts the VMM detached in its own process group and returns when its process is identified.
   * The caller has created `paths.root` and the TAP. `onSpawn` is called with the identity before anything is waited for,
   * so that the ledger knows the process first. Throws AppError `vmm-died` with the end of its log.
   */
  start(spec: MicrovmSpec, onSpawn: (process: ProcessIdentity) => Promise<void>): Promise<ProcessIdentity>;
  connect(paths: VmPaths, timeoutMs: number): Promise<VmmClient>;
  /** All that runs for this microVM now, whatever it calls itself. */
  processes(vm: VmmRecord): Promise<ProcessIdentity[]>;
  /**
   * Kills all that runs for this microVM and waits until it is seen gone. Idempotent; never signals a process of another
   * user. Throws AppError `process-stays`.
   */
  kill(vm: VmmRecord): Promise<void>;
  /** VMM processes in the range, by what they say of themselves: to find those of which there is no record. */
  list(range: VmmRange): Promise<FoundVmm[]>;
}
