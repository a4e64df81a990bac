/** What a diagnosis costs, and who waits for it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark } from "./bench.ts";
import { percentile, short, spreadOf, textOf } from "./figures.ts";
import { getMs } from "./http.ts";
import { startWorld } from "./world/world.ts";

const SESSIONS = 20;
const ROUNDS = 5;
const HEALTH_INTERVAL_MS = 5;

export const diagnose: Benchmark = {
  title: "a look at a running guest",
  about: `Wanted: p99 of \`/health\` ≤ 20 ms while ${SESSIONS} sessions are diagnosed at once. **Floor**: \`/health\` while nothing else goes on. Firewall, bridge and TAP are really looked at; the guests answer at once.`,
  run: async (context) => {
    const world = await startWorld();
    try {
      const ids = await world.live(SESSIONS);
      await world.client.diagnosis(ids[0] ?? "");
      /** /health all the while, and how long the event loop was blocked. */
      const beside = async (work: () => Promise<unknown>) => {
        const health: number[] = [];
        let isDone = false;
        await world.loop();
        const startedAt = performance.now();
        const working = work().finally(() => (isDone = true));
        while (!isDone) {
          health.push(await getMs(world.socket, "/health"));
          await sleep(HEALTH_INTERVAL_MS);
        }
        await working;
        return { tookMs: performance.now() - startedAt, health, blockedMs: (await world.loop()).maxMs };
      };
      const several = async (work: () => Promise<unknown>) => {
        const rounds = [];
        for (let round = 0; round < ROUNDS; round++) {
          context.signal.throwIfAborted();
          rounds.push(await beside(work));
        }
        const health = rounds.flatMap((one) => one.health);
        return {
          took: spreadOf(rounds.map(({ tookMs }) => tookMs)),
          blocked: spreadOf(rounds.map(({ blockedMs }) => blockedMs)),
          p50: percentile(health, 50),
          p99: percentile(health, 99),
        };
      };
      const nothing = await several(() => sleep(2_000));
      const one = await several(() => world.client.diagnosis(ids[0] ?? ""));
      const all = await several(() => Promise.all(ids.map((id) => world.client.diagnosis(id))));
      const row = (what: string, { took, blocked, p50, p99 }: typeof one): string[] => [
        what,
        textOf(took, "ms"),
        `${short(p50)} ms`,
        `${short(p99)} ms`,
        textOf(blocked, "ms"),
      ];
      return {
        table: [
          ["", "until all are answered", "/health p50", "/health p99", "longest turn of the event loop"],
          row("floor", nothing),
          row("one question", one),
          row(`${SESSIONS} at once`, all),
        ],
        notes: [],
        figures: { nothing, one, all },
      };
    } finally {
      await world.stop();
    }
  },
};
