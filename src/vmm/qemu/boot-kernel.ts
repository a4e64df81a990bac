/** Boots a kernel without a root file system as far as it gets: to the panic that says there is none. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyChild, killProcess } from "../../lib/process.ts";
import { SYSTEM_PATH } from "../../lib/programs.ts";
import { MIB } from "../../lib/units.ts";
import { notStarted } from "../process.ts";
import { unprivileged } from "../unprivileged.ts";

/** The line at the end of a boot that had all it needs but a root file system; memory, timers and devices worked. */
const LAST_LINE = /Kernel panic - not syncing: VFS|Unable to mount root fs/;

const NOBODY = 65_534;

export interface BootKernelOptions {
  /** QEMU with its machine, the kernel and its command line; the console is added here. */
  argv: string[];
  /** For the whole boot. */
  timeoutMs: number;
  /** How long it may say nothing; default `timeoutMs`. A host that is busy, or emulated itself, is slow: its kernel goes on talking. */
  silentMs?: number;
  /** Open files the VMM gets as numbers 3, 4, … */
  files?: number[];
}

/** Whatever comes of it, the VMM is gone when this returns. `detail` is the last line seen, of the kernel or the VMM. */
export const bootKernel = async ({ argv, timeoutMs, silentMs = timeoutMs, files = [] }: BootKernelOptions) => {
  const startedAt = performance.now();
  const [program = "", ...args] = unprivileged({ uid: NOBODY, maxFileBytes: MIB }, [...argv, "-serial", "stdio"]);
  const child = spawn(program, args, {
    detached: true,
    cwd: "/",
    env: { PATH: SYSTEM_PATH },
    stdio: ["ignore", "pipe", "pipe", ...files],
  });
  const identity = child.pid === undefined ? undefined : identifyChild(child.pid);
  const ended = once(child, "close");
  ended.catch(() => {});
  let output = "";
  let spokeAt = startedAt;
  const booted = new Promise<"booted">((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-64 * 1024);
        spokeAt = performance.now();
        if (LAST_LINE.test(output)) resolve("booted");
      });
    }
  });
  const waiting = new AbortController();
  const hung = async (): Promise<"hung"> => {
    for (;;) {
      const left = Math.min(spokeAt + silentMs, startedAt + timeoutMs) - performance.now();
      if (left <= 0) return "hung";
      await sleep(left, undefined, { signal: waiting.signal });
    }
  };
  const late = hung();
  late.catch(() => {});
  try {
    const outcome = await Promise.race([booted, ended.then(() => "ended" as const), late]);
    return { outcome, ms: Math.round(performance.now() - startedAt), detail: lastLine(output) };
  } catch (cause) {
    throw notStarted(cause);
  } finally {
    waiting.abort();
    if (identity) await killProcess("The VMM that boots a kernel as a probe", identity);
  }
};

const lastLine = (output: string): string => output.trimEnd().split("\n").at(-1)?.trim().slice(0, 300) ?? "";
