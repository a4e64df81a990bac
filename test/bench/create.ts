/** What a session costs beside its machine: TAP, bridge, firewall, SQLite, HTTP and jail are real, the VMM is a program that does nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { join } from "node:path";
import type { Benchmark, BenchContext } from "./bench.ts";
import { percentile, ratio, short, spreadOf, textOf } from "./figures.ts";
import { cpuSeconds } from "./process.ts";
import { startWorld, type World } from "./world/world.ts";

const ROUNDS = 5;
const ALONE = 5;
const BESIDE = 20;
const ROUND_MS = 4_000;
const LIVE = 200;

/** Milliseconds from the request to a VMM that runs, on the bridge, and from `DELETE` to the receipt; together. */
export const createAndDestroy = async ({ client }: World): Promise<number> => {
  const startedAt = performance.now();
  const { sessionId } = await client.start({ provider: "oidc" });
  for await (const { stages, state, verdict } of client.events(sessionId)) {
    if (state === "failed") throw new Error(`a session failed: ${verdict?.sentence}`);
    if (stages.some(({ stage, endedAt }) => stage === "vmm-up" && endedAt !== null)) break;
  }
  await client.destroy(sessionId);
  return performance.now() - startedAt;
};

/** Milliseconds. */
interface FloorTimes {
  all: number;
  parts: number[];
}

/** As `createAndDestroy`, by a script that does no more than the kernel needs; `self`: 2 to 250. */
const floor = async (world: World, times: number, self = 2): Promise<FloorTimes[]> => {
  const script = join(import.meta.dirname, "world/floor.sh");
  const argv = world.inside(["bash", script, String(times), String(self), ...world.floor]);
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const found: FloorTimes[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const [all = 0, ...parts] = line.split(" ").map((number) => Number(number) / 1000);
    found.push({ all, parts });
  }
  await ended;
  if (found.length < times) throw new Error(`the floor of create came to no end: ${said}`);
  return found;
};

/** Per second, `BESIDE` at a time. */
const besideEachOther = async (one: () => Promise<unknown>) => {
  const startedAt = performance.now();
  let count = 0;
  const work = async (): Promise<void> => {
    while (performance.now() - startedAt < ROUND_MS) {
      if ((await one()) !== false) count += 1;
    }
  };
  await Promise.all(Array.from({ length: BESIDE }, work));
  return { perSecond: count / ((performance.now() - startedAt) / 1000), done: count };
};

const measure = async (world: World, context: BenchContext) => {
  const alone: number[] = [];
  const floors: FloorTimes[] = [];
  const rates: number[] = [];
  const cpuMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    context.signal.throwIfAborted();
    for (let i = 0; i < ALONE; i++) alone.push(await createAndDestroy(world));
    floors.push(...(await floor(world, ALONE)));
    const before = await cpuSeconds(world.pid);
    const { perSecond, done } = await besideEachOther(() => createAndDestroy(world));
    rates.push(perSecond);
    cpuMs.push((((await cpuSeconds(world.pid)) - before) * 1000) / done);
  }
  const aloneFloor = floors.map(({ all }) => all);
  return { alone, aloneFloor, floors, rates, cpuMs };
};

export const create: Benchmark = {
  title: "our own cost of a session, create and destroy together",
  about: `Wanted: p50 ≤ 15 ms alone; ≥ 150/s at ${BESIDE} at a time; with ${LIVE} live sessions ≤ 1.2 × of none. The VMM is a program that does nothing, in the jail's parts that all VMMs share; all else is the product in namespaces of its own. **Floor**: a shell script that makes and removes the same things in the kernel, with no ledger, no look at what is left and no bounds.`,
  run: async (context) => {
    const world = await startWorld();
    try {
      for (let i = 0; i < 3; i++) await createAndDestroy(world);
      const empty = await measure(world, context);
      await world.live(LIVE);
      const full = await measure(world, context);
      const floorRates: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        let self = 2;
        const free = Array.from({ length: BESIDE }, () => self++);
        const { perSecond } = await besideEachOther(async () => {
          const mine = free.pop() ?? 0;
          // So many at a time it may be refused what it asks for; that one is not counted, and its number not used again.
          const isDone = await floor(world, 1, mine).then(
            () => true,
            (error: unknown) => context.say(`  floor: ${String(error).slice(0, 300)}`) ?? false,
          );
          free.push(isDone ? mine : self++);
          return isDone;
        });
        floorRates.push(perSecond);
      }
      const row = (what: string, { alone, aloneFloor, rates }: typeof empty): string[] => [
        what,
        textOf(spreadOf(alone), "ms"),
        textOf(spreadOf(aloneFloor), "ms"),
        ratio(percentile(alone, 50), percentile(aloneFloor, 50)),
        `${textOf(spreadOf(rates), "/s")}`,
      ];
      const part = (index: number): string =>
        textOf(spreadOf(empty.floors.map(({ parts }) => parts[index] ?? Number.NaN)), "ms");
      const slower = percentile(full.alone, 50) / percentile(empty.alone, 50);
      return {
        table: [
          ["", "alone", "floor, alone", "ours : floor", `${BESIDE} at a time`],
          row("no live session", empty),
          row(`${LIVE} live sessions`, full),
          ["floor", "", "", "", textOf(spreadOf(floorRates), "/s")],
        ],
        notes: [
          `What bounds it, in the floor of the same run: the kernel makes a network namespace in ${part(0)}, lets a TAP leave it in ${part(1)}, deletes it in ${part(2)}, and forgets a guest of the firewall in ${part(3)}. Each of these waits for all of the kernel's readers to have moved on, and those of links are done one at a time (rtnl), whoever asks.`,
          `Of each session at ${BESIDE} at a time the controller takes ${textOf(spreadOf(empty.cpuMs), "ms")} of a processor; with ${LIVE} live ${textOf(spreadOf(full.cpuMs), "ms")}.`,
          `${LIVE} live : none = ${short(slower)} alone, ${short(percentile(empty.rates, 50) / percentile(full.rates, 50))} beside each other.`,
        ],
        figures: {
          aloneMs: spreadOf(empty.alone),
          floorMs: spreadOf(empty.aloneFloor),
          aloneToFloor: percentile(empty.alone, 50) / percentile(empty.aloneFloor, 50),
          perSecond: spreadOf(empty.rates),
          cpuMs: spreadOf(empty.cpuMs),
          floorPerSecond: spreadOf(floorRates),
          liveToNone: slower,
        },
      };
    } finally {
      await world.stop();
    }
  },
};
