/** What a session writes to the disk, beside the ways to give each its own. */
import { mkdtemp, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { createImageStore } from "../../src/image/store.ts";
import { run } from "../../src/lib/exec.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { findProgram, SYSTEM_PATH } from "../../src/lib/programs.ts";
import type { Benchmark } from "./bench.ts";
import { createAndDestroy } from "./create.ts";
import { short, spreadOf, textOf } from "./figures.ts";
import { startWorld } from "./world/world.ts";

const ROUNDS = 5;
const SESSIONS = 5;
const KIB = 1024;

/** Bytes that a process has made the kernel write to a disk, or will have. */
const writtenBy = async (pid: number): Promise<number> =>
  Number(/^write_bytes: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, "utf8"))?.[1]);

export const disk: Benchmark = {
  title: "what a session writes to the disk",
  about:
    "Wanted: ≤ 64 KiB. The VMM is a program that does nothing (see `create`): its console and log, which a real one fills with some tens of KiB, come on top. **Peers**: a copy of an 8 GiB disk with our guest in it, as one would make for each guest; the same as a reflink; an overlay in front of it.",
  run: async (context) => {
    const folder = await mkdtemp("/var/tmp/sallyport-bench-disk-");
    const world = await startWorld();
    try {
      const kib: number[] = [];
      const ms: number[] = [];
      await createAndDestroy(world);
      for (let round = 0; round < ROUNDS; round++) {
        const before = await writtenBy(world.pid);
        for (let i = 0; i < SESSIONS; i++) ms.push(await createAndDestroy(world));
        kib.push(((await writtenBy(world.pid)) - before) / SESSIONS / KIB);
      }

      const image = await createImageStore(dataPaths(context.cacheDir)).find("default");
      if (!image) throw new Error("there is no image of the tests: npm test makes one");
      const source = join(folder, "source");
      await run("cp", ["--sparse=always", image.rootfs, source], { timeoutMs: 300_000 });
      await truncate(source, 8 * KIB ** 3);
      const way = async (name: string, program: string, args: (target: string) => string[]): Promise<string[]> => {
        if (findProgram(program, SYSTEM_PATH) === undefined) return [name, `${program} is not installed here`, ""];
        const sizes: number[] = [];
        const times: number[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          const target = join(folder, "target");
          const startedAt = performance.now();
          try {
            await run(program, args(target), { timeoutMs: 300_000, signal: context.signal });
            await run("sync", ["--file-system", target], { timeoutMs: 300_000 });
          } catch {
            context.signal.throwIfAborted();
            return [name, "refused by this file system", ""];
          } finally {
            times.push(performance.now() - startedAt);
          }
          sizes.push((await stat(target)).blocks * 512);
          await rm(target);
        }
        return [name, textOf(spreadOf(sizes.map((size) => size / KIB)), "KiB"), textOf(spreadOf(times), "ms")];
      };
      return {
        table: [
          ["", "written", "time"],
          ["a session, created and destroyed", textOf(spreadOf(kib), "KiB"), textOf(spreadOf(ms), "ms")],
          await way("`cp`", "cp", (target) => ["--reflink=never", "--sparse=auto", source, target]),
          await way("`cp --reflink`", "cp", (target) => ["--reflink=always", source, target]),
          await way("`qemu-img create -b`", "qemu-img", (target) => [
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            source,
            target,
          ]),
        ],
        notes: [
          `All of the ${short(spreadOf(kib).median)} KiB is SQLite's log of the ledger and the session's record: each of a session's writes puts whole pages of 1 KiB there, and the log is written over once it is full. No disk of the guest's is copied or made.`,
        ],
        figures: { kib: spreadOf(kib), ms: spreadOf(ms) },
      };
    } finally {
      await world.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
