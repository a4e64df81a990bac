import { z } from "zod";
import type { VmPaths } from "../../lib/paths.ts";
import { AppError } from "../../lib/errors.ts";
import { unlessMissing } from "../../lib/unless-missing.ts";
import { poll } from "../../lib/wait.ts";
import { silent } from "../conversation.ts";
import type { MachineStatus } from "../vmm.ts";
import { withQmp, type Execute } from "./qmp.ts";
import { loadState, saveState } from "./snapshot.ts";
import { socketsOf } from "./sockets.ts";

const COMMAND_TIMEOUT_MS = 5_000;

const runState = z.object({ status: z.string() });
const STATUS = new Map<string, MachineStatus>([
  ["prelaunch", "paused"],
  ["inmigrate", "paused"],
  ["postmigrate", "paused"],
  ["running", "running"],
  ["paused", "paused"],
  ["shutdown", "shutdown"],
]);

/** Asks QEMU once how its machine is. Throws AppError `vmm-silent` after `timeoutMs`, and what `withQmp` throws. */
export const askQemu = (paths: VmPaths, timeoutMs: number): Promise<MachineStatus> =>
  speak(paths, { timeoutMs }, async (execute) => {
    const { status } = runState.parse(await execute("query-status"));
    return STATUS.get(status) ?? "other";
  });

/** Lets a machine run that stands still. Throws as `askQemu`. */
export const letQemuRun = (paths: VmPaths): Promise<void> =>
  speak(paths, { timeoutMs: COMMAND_TIMEOUT_MS }, async (execute) => void (await execute("cont")));

/** Measured: under 20 ms; a disk that is busy takes longer to have the state. */
const FREEZE_TIMEOUT_MS = 60_000;
/** Measured: 150 ms. */
const LOAD_TIMEOUT_MS = 30_000;

/** A template's machine stands still afterwards, and is in its files. Throws as `askQemu`, the signal's reason. */
export const freezeQemu = (paths: VmPaths, signal: AbortSignal): Promise<void> =>
  speak(paths, { timeoutMs: FREEZE_TIMEOUT_MS, signal }, saveState);

/** A clone's machine is as its template's was, and stands still. Throws as `askQemu`, the signal's reason. */
export const loadQemu = (paths: VmPaths, signal: AbortSignal): Promise<void> =>
  speak(paths, { timeoutMs: LOAD_TIMEOUT_MS, signal }, loadState);

/** Resolves as soon as QEMU answers. Throws as `askQemu`, or the signal's reason. */
export const untilQemuAnswers = (paths: VmPaths, timeoutMs: number, signal: AbortSignal): Promise<void> =>
  speak(paths, { timeoutMs, signal }, async () => {});

/** One deadline for all of it: until QEMU listens, until it greets, until it has answered. What `use` asks may be asked again. */
const speak = async <T>(
  paths: VmPaths,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
  use: (execute: Execute) => Promise<T>,
): Promise<T> => {
  const late = AbortSignal.timeout(timeoutMs);
  const ending = signal ? AbortSignal.any([signal, late]) : late;
  const { control } = socketsOf(paths);
  // The socket is not there yet, or not listened on yet; a client before us has just gone; too many wait for it.
  const notYet = ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE", "EAGAIN"];
  const attempt = () =>
    unlessMissing(
      withQmp(control, ending, async (execute) => ({ answer: await use(execute) })),
      undefined,
      notYet,
    );
  try {
    const what = "QEMU's control socket";
    return (await poll(attempt, { what, timeoutMs: Infinity, intervalMs: 50, firstMs: 2, signal: ending })).answer;
  } catch (cause) {
    signal?.throwIfAborted();
    if (!late.aborted || cause instanceof AppError) throw cause;
    throw silent("QEMU", "what it was asked", timeoutMs, cause);
  }
};
