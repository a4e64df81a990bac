/** The screen's bridge, from the guest's RFB port to a viewer's WebSocket, beside others that do the same. */
import { spawn, type ChildProcess } from "node:child_process";
import { request } from "node:http";
import { join } from "node:path";
import { GUEST_PORTS } from "../../src/contract/guest.ts";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import { NODE } from "../fixtures/namespace.ts";
import type { Benchmark } from "./bench.ts";
import { percentile, ratio, short, spreadOf, textOf } from "./figures.ts";
import { cpuPartsOf } from "./process.ts";
import type { Measured, Road } from "./view-client.ts";
import { websockify } from "./websockify.ts";
import { GUESTS } from "./world/options.ts";
import { startWorld, type World } from "./world/world.ts";

/** Turns in which each road is taken once, so that the machine's mood is in all alike. */
const TURNS = 3;
const ROUNDS = { rounds: 3, roundMib: 192, questions: 400 };
const PORTS = { ours: 4000, relay: 4001, websockify: 4002 };

const post = (world: World, path: string, headers: Record<string, string>, body?: unknown) =>
  new Promise<{ cookie: string; text: string }>((resolve, reject) => {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const options = { socketPath: world.socket, method: "POST", path, headers: { ...headers, ...type } };
    const outgoing = request(options, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      answer.on("end", () => resolve({ cookie: answer.headers["set-cookie"]?.[0]?.split(";")[0] ?? "", text }));
    });
    outgoing.on("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
  });

/** A viewer at the screen of a new session: what its upgrade says. */
const viewer = async (world: World) => {
  const { sessionId, pairingCode } = await world.client.start({ provider: "oidc" });
  for await (const { state } of world.client.events(sessionId)) if (state === "ready") break;
  const path = `/api/auth/session/${sessionId}`;
  const origin = `http://${GUESTS.tcp}`;
  const { cookie } = await post(world, `${path}/pair`, { origin }, { pairingCode });
  return async (): Promise<NonNullable<Road["websocket"]>> => {
    const { ticket } = JSON.parse((await post(world, `${path}/ticket`, { origin, cookie })).text) as { ticket: string };
    const headers = { Origin: origin, "Sec-WebSocket-Protocol": `binary, sallyport.ticket.${ticket}` };
    return { path: `${path}/vnc`, headers };
  };
};

export const view: Benchmark = {
  title: "the screen's bridge",
  about:
    "Wanted: ≥ 3 × `websockify`'s throughput, ≥ 60 % of a bare TCP relay's; p99 of the added latency ≤ 1 ms. **Peers**: Debian's `websockify`, and a relay of twenty lines on the same Node that does nothing but carry bytes. The client is the same for all; it reads the heads of frames where there are any. Latency is that of a question of 4 bytes and an answer of 16, added: beyond that of a direct connection.",
  run: async (context) => {
    const world = await startWorld();
    const helpers: ChildProcess[] = [];
    const start = (argv: string[]): void => {
      const [program = "", ...args] = world.inside(argv);
      helpers.push(spawn(program, args, { stdio: ["ignore", "ignore", "ignore"] }));
    };
    try {
      const peer = await websockify(context.cacheDir);
      start([NODE, join(import.meta.dirname, "relay.ts"), String(PORTS.relay), String(GUEST_PORTS.rfb)]);
      start([...peer, `127.0.0.1:${PORTS.websockify}`, `127.0.0.1:${GUEST_PORTS.rfb}`]);
      const ours = await viewer(world);
      type Way = Omit<Road, keyof typeof ROUNDS>;
      const theirWay: Way = {
        port: PORTS.websockify,
        websocket: { path: "/", headers: { "Sec-WebSocket-Protocol": "binary" } },
      };
      const roads: Record<string, () => Promise<Way>> = {
        direct: async () => ({ port: GUEST_PORTS.rfb }),
        relay: async () => ({ port: PORTS.relay }),
        websockify: async () => theirWay,
        ours: async () => ({ port: PORTS.ours, websocket: await ours() }),
      };
      const measured: Record<string, Measured> = {};
      const take = async (name: string, road: Way): Promise<void> => {
        const argument = JSON.stringify({ ...road, ...ROUNDS });
        const [program = "", ...args] = world.inside([NODE, join(import.meta.dirname, "view-client.ts"), argument]);
        const found = JSON.parse(
          (await run(program, args, { timeoutMs: 120_000, signal: context.signal })).stdout,
        ) as Measured;
        const { mibPerSecond = [], latencyMs = [] } = measured[name] ?? {};
        measured[name] = {
          mibPerSecond: [...mibPerSecond, ...found.mibPerSecond],
          latencyMs: [...latencyMs, ...found.latencyMs],
        };
      };
      const isUp = async (): Promise<true | undefined> =>
        take("up", theirWay).then(
          () => true as const,
          () => undefined,
        );
      await poll(isUp, { what: "websockify's answer", timeoutMs: 60_000, intervalMs: 200, signal: context.signal });
      const cpu = { own: 0, kernel: 0 };
      for (let turn = 0; turn < TURNS; turn++) {
        for (const [name, road] of Object.entries(roads)) {
          const before = await cpuPartsOf(world.pid);
          await take(name, await road());
          const after = await cpuPartsOf(world.pid);
          if (name !== "ours") continue;
          cpu.own += after.own - before.own;
          cpu.kernel += after.kernel - before.kernel;
        }
      }

      const of = (name: string) => {
        const { mibPerSecond = [], latencyMs = [] } = measured[name] ?? {};
        const p99 = percentile(latencyMs, 99);
        return { speed: spreadOf(mibPerSecond), p50: percentile(latencyMs, 50), p99 };
      };
      const [direct, relay, theirs, own] = ["direct", "relay", "websockify", "ours"].map(of) as [Of, Of, Of, Of];
      type Of = ReturnType<typeof of>;
      const row = (what: string, { speed, p50, p99 }: Of): string[] => [
        what,
        textOf(speed, "MiB/s"),
        `${short(p50)} ms`,
        `${short(p99)} ms`,
        what === "direct connection" ? "" : `${short(p50 - direct.p50)} / ${short(p99 - direct.p99)} ms`,
      ];
      const figures = {
        toWebsockify: own.speed.median / theirs.speed.median,
        toRelay: own.speed.median / relay.speed.median,
        addedP99Ms: own.p99 - direct.p99,
        roads: { direct, relay, websockify: theirs, ours: own },
      };
      return {
        table: [
          ["road", "throughput", "latency p50", "p99", "added p50 / p99"],
          row("direct connection", direct),
          row("bare TCP relay", relay),
          row("websockify", theirs),
          row("ours", own),
        ],
        notes: [
          `Ours : websockify = ${ratio(own.speed.median, theirs.speed.median)}; ours : relay = ${ratio(own.speed.median, relay.speed.median)}.`,
          `What bounds it: of the controller's processor time on this road ${short((100 * cpu.kernel) / (cpu.own + cpu.kernel))} % is the kernel's, which copies the bytes in and out. Three times websockify would be ${short(3 * theirs.speed.median)} MiB/s; a connection without anything between has ${short(direct.speed.median)}, the bare relay ${short(relay.speed.median)}.`,
        ],
        figures,
      };
    } finally {
      for (const helper of helpers) helper.kill("SIGKILL");
      await world.stop();
    }
  },
};
