/** What the controller takes when nobody asks it anything. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark } from "./bench.ts";
import { short, spreadOf, textOf } from "./figures.ts";
import { NODE } from "../fixtures/namespace.ts";
import { childOf, cpuSeconds, memoryMib } from "./process.ts";
import { getMs } from "./http.ts";
import { startWorld } from "./world/world.ts";

const LIVE = 200;
const ROUNDS = 5;
const ROUND_MS = 6_000;
const look = async (pid: number, poll: () => Promise<number>) => {
  const memory: number[] = [];
  const percent: number[] = [];
  const polls: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await cpuSeconds(pid);
    const at = performance.now();
    await sleep(ROUND_MS);
    percent.push((((await cpuSeconds(pid)) - before) * 100_000) / (performance.now() - at));
    memory.push(await memoryMib(pid));
    for (let i = 0; i < 3; i++) polls.push(await poll());
  }
  return { memory: spreadOf(memory), percent: spreadOf(percent), polls: spreadOf(polls) };
};

const PEER = `require("http").createServer((q, a) => a.end("x".repeat(8000))).listen(process.argv[1], () => console.log("up"))`;

export const idle: Benchmark = {
  title: "the controller at rest",
  about: `Wanted: ≤ 150 MiB, ≤ 2 % of a core with ${LIVE} live sessions, ≤ 10 ms for one poll of \`/metrics\`. **Floor**: a bare HTTP server on the same Node that answers 8 kB. Each live session is a fake guest that answers at once, asked for its health every two seconds.`,
  run: async () => {
    const world = await startWorld();
    const socket = `${world.socket}.floor`;
    const bare = spawn(NODE, ["-e", PEER, socket], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(bare.stdout, "data");
      const pollFloor = (): Promise<number> => getMs(socket, "/");
      const pollOurs = (): Promise<number> => getMs(world.socket, "/metrics", world.adminKey);
      const floor = await look(bare.pid ?? 0, pollFloor);
      const none = await look(world.pid, pollOurs);
      await world.live(LIVE);
      const full = await look(world.pid, pollOurs);
      const helperMib = await memoryMib(await childOf(world.pid, "spawner"));
      const row = (what: string, { memory, percent, polls }: typeof floor): string[] => [
        what,
        textOf(memory, "MiB"),
        textOf(percent, "%"),
        textOf(polls, "ms"),
      ];
      return {
        table: [
          ["", "memory (resident)", "of a core", "one poll"],
          row("floor", floor),
          row("no session", none),
          row(`${LIVE} live sessions`, full),
        ],
        notes: [
          `Beside the floor the controller takes ${short(full.memory.median - floor.memory.median)} MiB more. The small process that starts programs for it has ${short(helperMib)} MiB, most of them Node's own.`,
        ],
        figures: { floor, none, full },
      };
    } finally {
      bare.kill();
      await world.stop();
    }
  },
};
