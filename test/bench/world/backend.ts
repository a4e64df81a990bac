/** A VMM backend whose machine costs nothing, so that what is left is our own: jail, control group, TAP and all else are real. */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../../src/lib/exec.ts";
import { openSocket } from "../../../src/lib/open-stream.ts";
import { packageRoot } from "../../../src/lib/paths.ts";
import { handOver, runFolder } from "../../../src/vmm/folder.ts";
import { handleOf, startAnswering } from "../../../src/vmm/process.ts";
import { writeStarted } from "../../../src/vmm/started.ts";
import { asUser } from "../../../src/vmm/unprivileged.ts";
import type { MicrovmHandle, VmmBackend, VmmRecord } from "../../../src/vmm/vmm.ts";

/** Its path. Needs gcc. */
export const compileVmm = async (): Promise<string> => {
  const program = join(packageRoot(), "dist/test/bench-vmm");
  await mkdir(dirname(program), { recursive: true });
  const source = join(packageRoot(), "test/bench/world/vmm.c");
  await run("gcc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source], { timeoutMs: 60_000 });
  return program;
};

/** As long as a VMM's control socket takes that comes up at once. */
const ANSWER_INTERVAL_MS = 1;

/** `guests`: socket of those that play the guests (guests-process.ts). */
export const createBenchBackend = ({ program, guests }: { program: string; guests: string }): VmmBackend => {
  const reopen = (vm: VmmRecord): MicrovmHandle => ({
    ...handleOf(vm),
    openChannel: async (reader, signal) => {
      const stream = await openSocket(guests)(reader, signal);
      stream.write(`${vm.paths.config}\n`);
      return stream;
    },
    status: async () => "running",
  });
  return {
    name: "bench",
    overheadMib: 64,
    diskMib: 1,
    exitCodes: {},
    checks: [],
    suits: async () => ({ accel: "emulation", why: "It costs nothing." }),
    start: async (spec, plan, hooks) => {
      const socket = join(runFolder(spec.paths), "vmm.sock");
      const argv = asUser(spec.uid, [program, spec.tap, socket]);
      await handOver(spec, hooks);
      await writeStarted(spec, "0.0.0", { plan, argv });
      const answers = async (signal: AbortSignal): Promise<void> => {
        const reader = { buffer: Buffer.alloc(16), callback: () => true };
        for (;;) {
          const stream = await openSocket(socket)(reader, signal).catch(() => undefined);
          if (stream) return void stream.destroy();
          await sleep(ANSWER_INTERVAL_MS, undefined, { signal });
        }
      };
      const command = { argv, memoryMib: 512, outFile: spec.paths.console };
      const process = await startAnswering(spec, command, answers, hooks, async () => {});
      return { ...reopen({ ...spec, process }), process };
    },
    reopen,
  };
};
