import type { ProcessIdentity } from "../../lib/process.ts";
import type { CgroupLimits } from "../cgroup.ts";
import { handOver, seal } from "../folder.ts";
import { FIRST_FILE, openFilter } from "../jail.ts";
import { endOfHeld, startAnswering } from "../process.ts";
import { seccompFilter } from "../seccomp.ts";
import { writeStarted } from "../started.ts";
import type { MicrovmSpec, StartHooks } from "../vmm.ts";
import { QEMU, type Accelerator } from "./arguments.ts";
import { letQemuRun, loadQemu, untilQemuAnswers } from "./client.ts";
import { inRoom, type SnapshotInRoom } from "./jail.ts";
import { openKvm } from "./kvm-probe.ts";

/** Until the control socket answers; measured: 0.1 s, and 0.3 s with both cores busy. */
const CONTROL_TIMEOUT_MS = 15_000;

export interface QemuStart extends Pick<CgroupLimits, "memoryMib"> {
  spec: MicrovmSpec;
  accelerator: Accelerator;
  version: string;
  /** That it writes, or is restored from. */
  snapshot?: SnapshotInRoom;
}

/** See `VmmBackend.start`; `args` are QEMU's. */
export const startQemu = async (start: QemuStart, args: string[], hooks: StartHooks): Promise<ProcessIdentity> => {
  const { spec, version, accelerator, memoryMib, snapshot } = start;
  await handOver(spec, hooks);
  const files = [await openFilter(spec.paths, seccompFilter())];
  try {
    // The filter is read to its end by whoever installs it; QEMU itself has the number of /dev/kvm to know, which comes first.
    const kvm = accelerator.kind === "kvm" ? await openKvm() : undefined;
    if (kvm) files.unshift(kvm);
    const argv = inRoom(spec, FIRST_FILE + files.length - 1, [QEMU, ...args], snapshot);
    await writeStarted(spec, version, { accelerator, memoryMib, argv });
    const streams = { files: files.map(({ fd }) => fd), outFile: spec.paths.console };
    const command = { argv, ...streams, endOf: endOfHeld, memoryMib };
    const hasAnswered = async (signal: AbortSignal): Promise<void> => {
      await untilQemuAnswers(spec.paths, CONTROL_TIMEOUT_MS, signal);
      if (snapshot && !snapshot.isWritten) await loadQemu(spec.paths, signal);
      await seal(spec.paths);
    };
    return await startAnswering(spec, command, hasAnswered, hooks, () => letQemuRun(spec.paths));
  } finally {
    for (const file of files) await file.close();
  }
};
