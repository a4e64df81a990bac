/** From the request to the first whole frame that shows the browser: cold, restored, beside the same VMM by a bare script. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { StageRecord } from "../../src/contract/session.ts";
import { createSnapshotStore } from "../../src/image/snapshots.ts";
import { createImageStore } from "../../src/image/store.ts";
import { packageRoot } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { ROOM } from "../../src/vmm/qemu/jail.ts";
import { untilState, type BootHost } from "../boot/host.ts";
import { NODE } from "../fixtures/namespace.ts";
import type { Benchmark, BenchContext } from "./bench.ts";
import { chart, type Bar } from "./chart.ts";
import { ratio, spreadOf, textOf } from "./figures.ts";
import type { Floor, FloorOptions } from "./floor.ts";
import { startFrames } from "./frames.ts";
import { IMAGE, NAMESPACE, withHost, withWarmHost } from "./warm-host.ts";

const POOL_TIMEOUT_MS = 180_000;
const POOL_REST_MS = 5_000;

type Frames = Awaited<ReturnType<typeof startFrames>>;

interface Start {
  sessionId: string;
  address: string;
  /** Milliseconds from the request to the frame's last byte. */
  ms: number;
  stages: StageRecord[];
  askedAt: number;
}

const startOne = async (host: BootHost, frames: Frames): Promise<Start> => {
  const askedAt = Date.now();
  const { sessionId, browserIP: address } = await host.client.start({ provider: "oidc" });
  const { stages } = await untilState(host.client, sessionId, "ready");
  const { wholeAt } = await frames.first(address);
  return { sessionId, address, ms: wholeAt - askedAt, stages, askedAt };
};

/** What the floor needs, of a clone that runs. */
const floorOptions = async (
  host: BootHost,
  { sessionId, address }: Start,
  context: BenchContext,
): Promise<FloorOptions> => {
  const { vmId } = await host.client.session(sessionId);
  if (vmId === null) throw new Error("a session that is ready has no microVM");
  const { argv, accelerator } = JSON.parse(await readFile(host.paths.vm(vmId).config, "utf8")) as {
    argv: string[];
    accelerator: { kind: string };
  };
  const [snapshot] = await createSnapshotStore(host.paths).list();
  const image = await createImageStore(host.paths).find(IMAGE);
  if (!snapshot || !image) throw new Error("there is no snapshot to restore by hand");
  context.signal.throwIfAborted();
  const program = argv.findLastIndex((word) => word.startsWith("/usr/bin/qemu-system"));
  return {
    argv: argv.slice(program),
    files: {
      [ROOM.image.vmlinux]: image.vmlinux,
      [ROOM.image.initrd]: image.initrd,
      [ROOM.image.rootfs]: image.rootfs,
      [ROOM.snapshot.memory]: join(snapshot.folder, "memory"),
      [ROOM.snapshot.state]: join(snapshot.folder, "state"),
    },
    isKvm: accelerator.kind === "kvm",
    bridge: "br0",
    table: "sallyport",
    // The range's last: leases begin at its first.
    address: address.replace(/\d+$/, "250"),
    prefixLength: 24,
    gateway: "192.168.100.1",
  };
};

const floorOnce = async (options: FloorOptions): Promise<Floor> => {
  const argv = ["netns", "exec", NAMESPACE, NODE, join(import.meta.dirname, "floor.ts"), JSON.stringify(options)];
  const child = spawn("ip", argv, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  await once(child, "close");
  return JSON.parse(text) as Floor;
};

const coldStarts = (context: BenchContext): Promise<Start[]> =>
  withHost(context, false, async (host, namespace) => {
    const frames = await startFrames(namespace);
    try {
      const starts: Start[] = [];
      for (let round = 0; round < context.coldRounds; round++) {
        context.signal.throwIfAborted();
        const one = await startOne(host, frames);
        context.say(`  cold: ${one.ms} ms`);
        await host.client.destroy(one.sessionId);
        starts.push(one);
      }
      return starts;
    } finally {
      frames.stop();
    }
  });

/** Each when the clone that waits is there, and has come to rest. */
const pooledStarts = async (host: BootHost, frames: Frames, context: BenchContext): Promise<Start[]> => {
  const { signal } = context;
  await host.reconfigure({ warm: { snapshots: true, pool: 1 } });
  const isThere = async () => (await host.client.warm()).pool.ready === 1 || undefined;
  const starts: Start[] = [];
  // The controller that has just begun reads the snapshot, for the first one.
  for (let round = -1; round < context.rounds; round++) {
    await poll(isThere, { what: "a clone that waits", timeoutMs: POOL_TIMEOUT_MS, intervalMs: 500, signal });
    await sleep(POOL_REST_MS, undefined, { signal });
    const one = await startOne(host, frames);
    await host.client.destroy(one.sessionId);
    if (one.stages[0]?.source !== "pool") throw new Error(`not from the pool: ${JSON.stringify(one.stages)}`);
    context.say(`  from the pool: ${one.ms} ms`);
    if (round >= 0) starts.push(one);
  }
  return starts;
};

const warmStarts = (context: BenchContext) =>
  withWarmHost(context, async (host, namespace) => {
    const frames = await startFrames(namespace);
    try {
      const restored: Start[] = [];
      const floors: Floor[] = [];
      const running: number[] = [];
      // The first one is for the host's caches, and for what is made once.
      for (let round = -1; round < context.rounds; round++) {
        context.signal.throwIfAborted();
        const one = await startOne(host, frames);
        if (!one.stages.some(({ stage }) => stage === "restored"))
          throw new Error(`booted cold: ${JSON.stringify(one.stages)}`);
        const { connectingAt, wholeAt } = await frames.first(one.address);
        const options = context.backend === "qemu" ? await floorOptions(host, one, context) : undefined;
        await host.client.destroy(one.sessionId);
        // A floor that is not reached is no reason to lose the rest.
        const floor =
          options && (await floorOnce(options).catch((error: unknown) => context.say(`  floor: ${String(error)}`)));
        context.say(
          `  restored: ${one.ms} ms; floor: ${floor ? Math.round(floor.frame) : "none"} ms; a running guest's frame: ${wholeAt - connectingAt} ms`,
        );
        if (round < 0) continue;
        restored.push(one);
        running.push(wholeAt - connectingAt);
        if (floor) floors.push(floor);
      }
      const templateMs = (await host.client.warm()).snapshot?.coldMs ?? Number.NaN;
      return { restored, floors, running, templateMs, pooled: await pooledStarts(host, frames, context) };
    } finally {
      frames.stop();
    }
  });

const barsOf = ({ stages, askedAt, ms }: Start): Bar[] => {
  const at = (time: string): number => Date.parse(time) - askedAt;
  const bars = stages.flatMap(({ stage, startedAt, endedAt }) =>
    endedAt === null ? [] : [{ name: stage, from: Math.max(at(startedAt), 0), to: at(endedAt) }],
  );
  return [...bars, { name: "first frame", from: bars.at(-1)?.to ?? 0, to: ms }];
};

/** Milliseconds of one stage, of each start that had it. */
const timesOf = (starts: Start[], name: string): number[] =>
  starts.flatMap(({ stages }) =>
    stages.flatMap(({ stage, startedAt, endedAt }) =>
      stage === name && endedAt !== null ? [Date.parse(endedAt) - Date.parse(startedAt)] : [],
    ),
  );

const middle = (starts: Start[]): Start | undefined =>
  starts.toSorted((a, b) => a.ms - b.ms)[Math.floor((starts.length - 1) / 2)];

export const start: Benchmark = {
  title: "from the request to a browser on the screen",
  about:
    "Wanted: cold : restored ≥ 15 on QEMU here, ≥ 100 on Firecracker; restored ≤ 1.3 × its floor; from the pool ≤ 1.2 × its peer. Measured from `POST /api/auth/start` to the last byte of the first whole frame that is not of one colour, which a raw RFB client takes once the session is `ready`. **Floor**: the same VMM with the same arguments restores the same snapshot by a bare script, with no jail, ledger or controller; the agent's `renew` and `configure` are called as they must be, then the same client. **Peer** of a start from a pool: connecting to a running guest and taking one frame.",
  run: async (context) => {
    const cold = context.coldRounds > 0 ? await coldStarts(context) : [];
    const { restored, floors, running, templateMs, pooled } = await warmStarts(context);
    const lanes = [
      { title: "from the pool", starts: pooled },
      { title: "restored", starts: restored },
      { title: "cold", starts: cold },
    ].flatMap(({ title, starts }) => {
      const one = middle(starts);
      return one ? [{ title: `${title}, ${(one.ms / 1000).toFixed(1)} s`, bars: barsOf(one) }] : [];
    });
    await mkdir(join(packageRoot(), "docs/images"), { recursive: true });
    await writeFile(join(packageRoot(), `docs/images/start-${context.backend}.svg`), chart(lanes));
    const msOf = (starts: Start[]): number[] => starts.map(({ ms }) => ms);
    const coldMs = spreadOf(cold.length > 0 ? msOf(cold) : [templateMs]);
    const restoredMs = spreadOf(msOf(restored));
    const pooledMs = spreadOf(msOf(pooled));
    const runningMs = spreadOf(running);
    const floorMs = floors.length > 0 ? spreadOf(floors.map(({ frame }) => frame)) : undefined;
    const part = (of: (floor: Floor) => number) => textOf(spreadOf(floors.map(of)), "ms");
    const stagesOf = (starts: Start[]): string =>
      (starts[0]?.stages ?? [])
        .map(({ stage }) => `${stage} ${textOf(spreadOf(timesOf(starts, stage)), "ms")}`)
        .join("; ");
    const coldToRestored = coldMs.median / restoredMs.median;
    const restoredToFloor = floorMs && restoredMs.median / floorMs.median;
    const poolToFrame = pooledMs.median / runningMs.median;
    return {
      table: [
        ["", "time", "ratio"],
        [
          cold.length > 0 ? "cold" : "cold: the template's own boot, until its Firefox had painted",
          textOf(coldMs, "ms"),
          `${ratio(coldMs.median, restoredMs.median)} restored`,
        ],
        ["restored", textOf(restoredMs, "ms"), floorMs ? `${ratio(restoredMs.median, floorMs.median)} floor` : ""],
        ["floor", floorMs ? textOf(floorMs, "ms") : "QEMU's alone", ""],
        [
          "from the pool",
          textOf(pooledMs, "ms"),
          `${ratio(pooledMs.median, runningMs.median)} a running guest's frame`,
        ],
        ["a running guest's frame", textOf(runningMs, "ms"), ""],
      ],
      notes: [
        `![Stages of a start](images/start-${context.backend}.svg)`,
        `Stages of the restored ones: ${stagesOf(restored)}.`,
        `Of those from the pool: ${stagesOf(pooled)}.`,
        ...(floors.length > 0
          ? [
              `The floor's own: restored ${part(({ restored: at }) => at)}; renewed ${part((floor) => floor.renewed - floor.restored)}; configured ${part((floor) => floor.configured - floor.renewed)}; frame ${part((floor) => floor.frame - floor.configured)}.`,
            ]
          : []),
      ],
      figures: {
        backends: {
          [context.backend]: { coldToRestored, restoredToFloor: restoredToFloor ?? null, poolToFrame },
        },
        coldMs,
        restoredMs,
        floorMs: floorMs ?? null,
        pooledMs,
        runningFrameMs: runningMs,
      },
    };
  },
};
