import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
import type { VmPaths } from "../../lib/paths.ts";
import type { ProcessIdentity } from "../../lib/process.ts";
import { unlessMissing } from "../../lib/unless-missing.ts";
import { msUntil, poll } from "../../lib/wait.ts";
import type { CgroupLimits } from "../cgroup.ts";
import { silent } from "../conversation.ts";
import { FIRST_FILE, openFilter } from "../jail.ts";
import { startAnswering } from "../process.ts";
import { REFUSALS_AROUND_JAILER, seccompFilter } from "../seccomp.ts";
import { writeStarted } from "../started.ts";
import type { MachineStatus, MicrovmSpec, StartHooks, StartPlan } from "../vmm.ts";
import { garbled, withApi } from "./api.ts";
import { furnish, inChroot, seal } from "./chroot.ts";
import { endOfFirecracker } from "./exit.ts";
import { inRoom } from "./jail.ts";
import { configuration, restoration, RESUME, START, STATE } from "./requests.ts";
import { OLDEST, type Binaries } from "./version.ts";

/** Until the API answers; measured in an emulated host: 1.5 s. */
const API_TIMEOUT_MS = 15_000;
/** For all that is looked up or opened; measured: milliseconds. */
const CONFIGURE_TIMEOUT_MS = 10_000;
/** For kernel and initrd to be read into the guest's memory, and the processors to be made; measured in an emulated host: 2 s. */
const RUN_TIMEOUT_MS = 30_000;

export interface FirecrackerStart extends Pick<CgroupLimits, "memoryMib"> {
  spec: MicrovmSpec;
  plan: StartPlan;
  binaries: Binaries;
  /** Bound of each file that it writes. */
  maxFileBytes: number;
}

/** See `VmmBackend.start`. */
export const startFirecracker = async (start: FirecrackerStart, hooks: StartHooks): Promise<ProcessIdentity> => {
  const { spec, plan, binaries, ...bounds } = start;
  const { version } = binaries;
  await furnish(spec, plan, hooks);
  const argv = inRoom(spec, binaries, FIRST_FILE, start.maxFileBytes);
  await writeStarted(spec, version, { plan, argv });
  const [requests, letRun] =
    plan.kind === "boot" ? [configuration(spec, version), START] : [restoration(spec, version), RESUME];
  const api = { socket: inChroot(spec.paths, "apiSocket"), version };

  const configure = async (signal: AbortSignal): Promise<void> => {
    await untilFirecrackerAnswers(spec.paths, API_TIMEOUT_MS, signal);
    await withApi({ ...api, timeoutMs: CONFIGURE_TIMEOUT_MS, signal }, async (send) => {
      for (const request of requests) await send(request);
    }).catch((error: unknown) => {
      const isRefusal = error instanceof AppError && error.code === "vmm-refused";
      throw plan.kind === "restore" && isRefusal ? notRestored(error) : error;
    });
    await seal(spec.paths);
  };
  const run = async (): Promise<void> =>
    void (await withApi({ ...api, timeoutMs: RUN_TIMEOUT_MS }, (send) => send(letRun)));
  const filter = await openFilter(spec.paths, seccompFilter(REFUSALS_AROUND_JAILER));
  try {
    const streams = { files: [filter.fd], outFile: spec.paths.console };
    return await startAnswering(spec, { argv, ...streams, ...bounds, endOf: endOfFirecracker }, configure, hooks, run);
  } finally {
    await filter.close();
  }
};

const notRestored = ({ kind, code, message }: AppError): AppError =>
  new AppError(kind, code, `The frozen machine was not restored: ${message}`, {
    hint: "Its files are damaged, or another Firecracker wrote them. A sign-in boots a machine of its own until another was frozen.",
  });

const instance = z.object({ state: z.string() });

const STATUS = new Map<string, MachineStatus>([
  ["Running", "running"],
  ["Paused", "paused"],
]);

/** Asks Firecracker once how its machine is. Throws what `Send` throws. */
export const askFirecracker = async (
  paths: VmPaths,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<MachineStatus> => {
  // Whatever version started it: every one knows this request.
  const api = { socket: inChroot(paths, "apiSocket"), version: OLDEST, timeoutMs, ...(signal ? { signal } : {}) };
  const answer = instance.safeParse(await withApi(api, (send) => send(STATE)));
  if (!answer.success) throw garbled(STATE, "it says no state");
  return STATUS.get(answer.data.state) ?? "other";
};

/** Resolves as soon as Firecracker answers. Throws AppError `vmm-silent` after `timeoutMs`, and what `Send` throws. */
export const untilFirecrackerAnswers = async (
  paths: VmPaths,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> => {
  const deadline = performance.now() + timeoutMs;
  // The socket is not there yet, or not listened on yet.
  const notYet = ["ENOENT", "vmm-hung-up"];
  const attempt = () => unlessMissing(askFirecracker(paths, msUntil(deadline), signal), undefined, notYet);
  try {
    await poll(attempt, { what: "Firecracker's API", timeoutMs, intervalMs: 20, firstMs: 1, signal });
  } catch (cause) {
    const isLate = cause instanceof AppError && ["deadline", "vmm-silent"].includes(cause.code);
    throw isLate ? silent("Firecracker", "what it was asked", timeoutMs, cause) : cause;
  }
};
