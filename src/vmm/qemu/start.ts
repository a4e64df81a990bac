import { writeFile } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import type { VmPaths } from "../../lib/paths.ts";
import type { ProcessIdentity } from "../../lib/process.ts";
import { killVmm, startVmm } from "../process.ts";
import type { StartedVmm } from "../process.ts";
import { handOver, unprivileged } from "../unprivileged.ts";
import type { MicrovmSpec } from "../vmm.ts";
import type { Accelerator } from "./arguments.ts";
import { QEMU } from "./arguments.ts";
import { connectQemu } from "./client.ts";
import { openKvm } from "./kvm-probe.ts";

/** Until the control socket answers; measured: 0.1 s, and 0.3 s with both cores busy. */
const CONTROL_TIMEOUT_MS = 15_000;

/** Above what the controller lets the console's file grow to: reached only when none is there to trim it. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** Linux' limit for the path of a socket, without the terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;

export interface QemuStart {
  spec: MicrovmSpec;
  accelerator: Accelerator;
  /** For the record in config.json. */
  version: string;
}

/** See `VmmBackend.start`; `args` are QEMU's. Whatever fails, no process is left. */
export const startQemu = async (
  start: QemuStart,
  args: string[],
  onSpawn: (process: ProcessIdentity) => Promise<void>,
): Promise<ProcessIdentity> => {
  const { spec } = start;
  refuseLongPaths(spec.paths);
  await handOver(spec);
  const argv = unprivileged({ uid: spec.uid, maxFileBytes: MAX_FILE_BYTES }, [QEMU, ...args]);
  await writeFile(spec.paths.config, JSON.stringify({ ...start, argv }, undefined, 2), { mode: 0o600 });

  const { identity, died } = await spawned(start, argv);
  const waiting = new AbortController();
  try {
    await onSpawn(identity);
    const client = connectQemu(spec.paths, CONTROL_TIMEOUT_MS, waiting.signal);
    (await Promise.race([client, died])).close();
    return identity;
  } catch (error) {
    waiting.abort();
    await killVmm({ ...spec, process: identity });
    throw error;
  }
};

const spawned = async ({ spec, accelerator }: QemuStart, argv: string[]): Promise<StartedVmm> => {
  const kvm = accelerator.kind === "kvm" ? await openKvm() : undefined;
  try {
    return await startVmm({ argv, logFile: spec.paths.vmmLog, files: kvm ? [kvm.fd] : [] });
  } finally {
    await kvm?.close();
  }
};

const refuseLongPaths = ({ control, channel }: VmPaths): void => {
  const tooLong = [control, channel].find((path) => Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES);
  if (!tooLong) return;
  throw new AppError("invalid", "path-too-long", `The path ${tooLong} is too long for a socket.`, {
    hint: `Linux allows ${MAX_SOCKET_PATH_BYTES} bytes: choose a data directory with a shorter path (dataDir).`,
  });
};
