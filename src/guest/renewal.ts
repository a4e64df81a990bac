/**
 * `settle` and `renew`: that no two clones of one frozen machine share a secret. Each random generator in the copied memory is made
 * new, and says so: the kernel's, then that of each process of Firefox's that runs script (rootfs/usr/lib/firefox-esr/sallyport.cfg).
 * This process has none that it uses (handover/sealing.ts asks the kernel). Why this is all: docs/adr/0016-clones-share-no-secret.md.
 */
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { addAbortSignal } from "node:stream";
import { text } from "node:stream/consumers";
import { z } from "zod";
import type { GuestParams, GuestResult } from "../contract/guest.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { run } from "../lib/exec.ts";
import { jsonOf } from "../lib/json.ts";
import { kernelBytes } from "../lib/kernel-bytes.ts";
import { browserProcesses, hasGenerator, type BrowserProcess } from "./browser-processes.ts";
import type { SessionHolder } from "./session.ts";

export interface RenewalOptions {
  root: string;
  session: SessionHolder;
  runProgram: typeof run;
  log: (message: string) => void;
  /** How long Firefox may take; default BROWSER_TIMEOUT_MS. */
  browserTimeoutMs?: number;
}

const KERNEL_PROGRAM = "/usr/lib/sallyport/renew-kernel.pl";
const KERNEL_TIMEOUT_MS = 10_000;
const BROWSER_SOCKET = "run/browser/renew.sock";
/** Measured under emulation: 0.5 s. */
const BROWSER_TIMEOUT_MS = 15_000;
const SEEDS = ["var/lib/systemd/random-seed", "var/lib/random-seed", "var/lib/urandom/random-seed"];

/** `kind` is `parent`, or what a process is for, in Firefox's words; `result` is 0, or what went wrong. */
const acknowledgement = z.object({
  processes: z.array(z.object({ pid: z.int(), kind: z.string(), result: z.union([z.number(), z.string()]) })),
});
type Answer = z.infer<typeof acknowledgement>["processes"][number];

export const createRenewal = (options: RenewalOptions) => {
  const { root, session, runProgram, log, browserTimeoutMs = BROWSER_TIMEOUT_MS } = options;

  const settle = async (): Promise<Record<string, never>> => {
    requireNoSession();
    await Promise.all(SEEDS.map((seed) => rm(join(root, seed), { force: true })));
    // A template whose clones cannot be renewed is none; and what this takes is in memory then, for all of them.
    await renewAll(await kernelBytes(64));
    return {};
  };

  const renew = async ({ entropy }: GuestParams<"renew">): Promise<GuestResult<"renew">> => {
    requireNoSession();
    return { browserProcesses: await renewAll(Buffer.from(entropy, "base64")) };
  };

  const requireNoSession = (): void => {
    if (!session.current) return;
    const sentence =
      "This guest has a session: pages from outside may have been in its browser, so nothing is renewed now.";
    throw new AppError("conflict", "session-fixed", sentence);
  };

  const renewAll = async (bytes: Buffer): Promise<number> => {
    await renewKernel(bytes);
    // Those of the copied memory. One that is started from now on is not: it has what the kernel gives it.
    const copied = await browserProcesses(root);
    const answers = copied.length === 0 ? [] : await askFirefox();
    const renewed = copied.filter(({ pid }) => answers.some((one) => one.pid === pid && one.result === 0));
    const failed = [
      ...answers.filter(({ result }) => result !== 0).map(({ kind, pid, result }) => `${kind} ${pid}: ${result}`),
      ...(await silentOf(copied, answers)).map(({ kind, pid }) => `${kind} ${pid}: no word`),
      ...(renewed.length < 2 ? [`only ${renewed.length} of its processes took fresh bytes`] : []),
    ];
    if (failed.length > 0) throw notRenewed(`the browser's (${failed.join("; ")})`);
    log(`renewed: kernel, ${answers.map(({ kind, pid }) => `${kind} ${pid}`).join(", ")}`);
    return renewed.length;
  };

  /** Those that have a generator and did not answer. */
  const silentOf = async (copied: BrowserProcess[], answers: Answer[]): Promise<BrowserProcess[]> => {
    const silent = copied.filter(({ pid }) => !answers.some((one) => one.pid === pid));
    const matters = await Promise.all(silent.map((one) => hasGenerator(root, one)));
    return silent.filter((_, index) => matters[index]);
  };

  const renewKernel = async (bytes: Buffer): Promise<void> => {
    const input = `${bytes.toString("hex")}\n`;
    try {
      await runProgram("perl", [KERNEL_PROGRAM], { input, timeoutMs: KERNEL_TIMEOUT_MS });
    } catch (cause) {
      throw notRenewed(`the kernel's (${messageOf(cause)})`, cause);
    }
  };

  const askFirefox = async (): Promise<Answer[]> => {
    const socket = addAbortSignal(AbortSignal.timeout(browserTimeoutMs), connect(join(root, BROWSER_SOCKET)));
    try {
      return acknowledgement.parse(jsonOf(await text(socket))).processes;
    } catch (cause) {
      throw notRenewed(`the browser's (${messageOf(cause)})`, cause);
    } finally {
      socket.destroy();
    }
  };

  return { settle, renew };
};

const notRenewed = (what: string, cause?: unknown): AppError =>
  new AppError(
    "unavailable",
    "not-renewed",
    `A random generator is still that of the template: ${what}.`.slice(0, 1000),
    {
      cause,
      hint: "Other clones may have the same secrets: this one is not to be used.",
    },
  );
