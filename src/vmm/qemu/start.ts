import { writeFile } from "node:fs/promises";
import type { ProcessIdentity } from "../../lib/process.ts";
import { handOver } from "../folder.ts";
import { startAnswering } from "../process.ts";
import { unprivileged } from "../unprivileged.ts";
import type { MicrovmSpec, StartHooks } from "../vmm.ts";
import { QEMU, type Accelerator } from "./arguments.ts";
import { untilQemuAnswers } from "./client.ts";
import { openKvm } from "./kvm-probe.ts";
import { refuseLongPaths } from "./sockets.ts";

/** Until the control socket answers; measured: 0.1 s, and 0.3 s with both cores busy. */
const CONTROL_TIMEOUT_MS = 15_000;

/** Above what the controller lets the console's file grow to: reached only when none is there to trim it. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;

export interface QemuStart {
  spec: MicrovmSpec;
  accelerator: Accelerator;
  /** For the record in config.json. */
  version: string;
}

/** See `VmmBackend.start`; `args` are QEMU's. */
export const startQemu = async (start: QemuStart, args: string[], hooks: StartHooks): Promise<ProcessIdentity> => {
  const { spec } = start;
  refuseLongPaths(spec.paths);
  await handOver(spec, hooks);
  const argv = unprivileged({ uid: spec.uid, maxFileBytes: MAX_FILE_BYTES }, [QEMU, ...args]);
  await writeFile(spec.paths.config, JSON.stringify({ ...start, argv }, undefined, 2), { mode: 0o600 });

  const kvm = start.accelerator.kind === "kvm" ? await openKvm() : undefined;
  try {
    const hasAnswered = (signal: AbortSignal) => untilQemuAnswers(spec.paths, CONTROL_TIMEOUT_MS, signal);
    return await startAnswering(spec, { argv, files: kvm ? [kvm.fd] : [] }, hasAnswered, hooks);
  } finally {
    await kvm?.close();
  }
};
