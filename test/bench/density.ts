/** What a clone has of its own: the template's memory is one for all, until they write to it. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark } from "./bench.ts";
import { short, spreadOf, textOf } from "./figures.ts";
import { untilState } from "../boot/host.ts";
import { withWarmHost } from "./warm-host.ts";

const IDLE_MS = 30_000;
const CLONES = 5;
const HOST_MIB = 16 * 1024;

/** MiB of a process, by the kernel's names: its share of what it maps (Pss), and of that what is in no file. */
const memoryOf = async (pid: number): Promise<{ pss: number; own: number }> => {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1]) / 1024;
  return { pss: mib("Pss"), own: mib("Pss_Anon") + mib("Pss_Shmem") };
};

export const density: Benchmark = {
  title: "memory of a clone",
  about:
    "Wanted: ≤ 100 MiB of its own, idle, 30 s after its restore. Of its own is what the VMM's process has in no file: the pages of the template's memory that were written to, the translated code of an emulation, QEMU itself. **Floor**: nothing of the guest's, which is the same memory shared by all.",
  run: (context) =>
    withWarmHost(context, async (host) => {
      const own: number[] = [];
      const shared: number[] = [];
      for (let round = 0; round < Math.min(context.rounds, CLONES); round++) {
        context.signal.throwIfAborted();
        const { sessionId } = await host.client.start({ provider: "oidc" });
        await untilState(host.client, sessionId, "ready");
        await sleep(IDLE_MS, undefined, { signal: context.signal });
        const vm = (await host.client.vms()).find((one) => one.sessionId === sessionId);
        if (!vm?.pid) throw new Error("a session that is ready has no process");
        const memory = await memoryOf(vm.pid);
        own.push(memory.own);
        shared.push(memory.pss - memory.own);
        context.say(`  a clone: ${short(memory.own)} MiB of its own, ${short(memory.pss)} MiB with its share of files`);
        await host.client.destroy(sessionId);
      }
      return {
        table: [
          ["", "MiB"],
          ["of its own, idle", textOf(spreadOf(own), "MiB")],
          ["mapped of the template's memory, and of programs", textOf(spreadOf(shared), "MiB")],
          ["such clones in 16 GiB, by that number", String(Math.floor(HOST_MIB / spreadOf(own).median))],
        ],
        notes: ["One clone at a time; how many fit is reckoned, not tried. After a sign-in: not measured."],
        figures: { ownMib: spreadOf(own), sharedMib: spreadOf(shared) },
      };
    }),
};
