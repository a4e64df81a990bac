/** What a session costs beside its machine: TAP, bridge, firewall, SQLite, HTTP and jail are real, the VMM is a program that does nothing. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import type { Benchmark, BenchContext } from "./bench.ts";
import { percentile, ratio, short, spreadOf, textOf } from "./figures.ts";
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

/** As `createAndDestroy`, by a script that does no more than the kernel needs; `self`: 2 to 250. */
const floor = async (world: World, times: number, self = 2): Promise<number[]> => {
  const script = join(import.meta.dirname, "world/floor.sh");
  const argv = world.inside(["bash", script, String(times), String(self), ...world.floor]);
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const found: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) found.push(Number(line) / 1000);
  if (found.length < times) throw new Error("the floor of create came to no end");
  return found;
};

/** Per second, `BESIDE` at a time. */
const besideEachOther = async (one: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  let count = 0;
  const work = async (): Promise<void> => {
    while (performance.now() - startedAt < ROUND_MS) {
      await one();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: BESIDE }, work));
  return count / ((performance.now() - startedAt) / 1000);
};

const measure = async (world: World, context: BenchContext) => {
  const alone: number[] = [];
  const aloneFloor: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    context.signal.throwIfAborted();
    for (let i = 0; i < ALONE; i++) alone.push(await createAndDestroy(world));
    aloneFloor.push(...(await floor(world, ALONE)));
    rates.push(await besideEachOther(() => createAndDestroy(world)));
  }
  return { alone, aloneFloor, rates };
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
        floorRates.push(
          await besideEachOther(async () => {
            const mine = free.pop() ?? 0;
            await floor(world, 1, mine);
            free.push(mine);
          }),
        );
      }
      const row = (what: string, { alone, aloneFloor, rates }: typeof empty): string[] => [
        what,
        textOf(spreadOf(alone), "ms"),
        textOf(spreadOf(aloneFloor), "ms"),
        ratio(percentile(alone, 50), percentile(aloneFloor, 50)),
        `${textOf(spreadOf(rates), "/s")}`,
      ];
      const slower = percentile(full.alone, 50) / percentile(empty.alone, 50);
      return {
        table: [
          ["", "alone", "floor, alone", "ours : floor", `${BESIDE} at a time`],
          row("no live session", empty),
          row(`${LIVE} live sessions`, full),
          ["floor", "", "", "", textOf(spreadOf(floorRates), "/s")],
        ],
        notes: [
          `${LIVE} live : none = ${short(slower)} alone, ${short(percentile(empty.rates, 50) / percentile(full.rates, 50))} beside each other.`,
        ],
        figures: {
          aloneMs: spreadOf(empty.alone),
          floorMs: spreadOf(empty.aloneFloor),
          aloneToFloor: percentile(empty.alone, 50) / percentile(empty.aloneFloor, 50),
          perSecond: spreadOf(empty.rates),
          floorPerSecond: spreadOf(floorRates),
          liveToNone: slower,
        },
      };
    } finally {
      await world.stop();
    }
  },
};
