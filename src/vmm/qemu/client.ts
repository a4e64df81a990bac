import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
import { withShortPath } from "../../lib/open-stream.ts";
import type { VmPaths } from "../../lib/paths.ts";
import { unlessMissing } from "../../lib/unless-missing.ts";
import { msUntil, poll } from "../../lib/wait.ts";
import type { MachineStatus } from "../vmm.ts";
import { connectQmp, type Qmp } from "./qmp.ts";
import { socketsOf } from "./sockets.ts";

const COMMAND_TIMEOUT_MS = 5_000;

const runState = z.object({ status: z.string() });

/** Asks QEMU once how its machine is. Throws AppError `vmm-silent` after `timeoutMs`. */
export const askQemu = async (paths: VmPaths, timeoutMs: number): Promise<MachineStatus> => {
  const qmp = await connected(socketsOf(paths).control, timeoutMs);
  try {
    const { status } = runState.parse(await qmp.execute("query-status", COMMAND_TIMEOUT_MS));
    if (status === "prelaunch") return "paused";
    return status === "running" || status === "paused" || status === "shutdown" ? status : "other";
  } finally {
    qmp.close();
  }
};

/** Lets a machine run that stands still. */
export const letQemuRun = async (paths: VmPaths): Promise<void> => {
  const qmp = await connected(socketsOf(paths).control, COMMAND_TIMEOUT_MS);
  try {
    await qmp.execute("cont", COMMAND_TIMEOUT_MS);
  } finally {
    qmp.close();
  }
};

/** Resolves as soon as QEMU answers. Throws AppError `vmm-silent` after `timeoutMs`, or the signal's reason. */
export const untilQemuAnswers = async (paths: VmPaths, timeoutMs: number, signal: AbortSignal): Promise<void> =>
  void (await connected(socketsOf(paths).control, timeoutMs, signal)).close();

const connected = async (path: string, timeoutMs: number, signal?: AbortSignal): Promise<Qmp> => {
  const deadline = performance.now() + timeoutMs;
  // The socket is not there yet, or not listened on yet; or a client before us has just gone.
  const notYet = ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"];
  const connect = (short: string) => connectQmp(short, msUntil(deadline));
  const attempt = () => unlessMissing(withShortPath(path, connect), undefined, notYet);
  try {
    const what = "QEMU's control socket";
    return await poll(attempt, { what, timeoutMs, intervalMs: 50, ...(signal ? { signal } : {}) });
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    const sentence = `QEMU did not answer on its control socket: ${cause.message}`;
    throw new AppError("timeout", "vmm-silent", sentence, { cause });
  }
};
