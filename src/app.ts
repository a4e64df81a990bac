/** Composition root: the one file that builds the services and ties their lives together. */
import { chmodSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { setInterval as every } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { dirname, join } from "node:path";
import type { Config } from "./config/config.ts";
import { createChores } from "./controller/chores.ts";
import { createKeyStore } from "./access/keys.ts";
import type { Limits } from "./http/limits.ts";
import { listen } from "./http/listen.ts";
import { createServer } from "./http/server.ts";
import { createImageStore, type Image, type ImageStore } from "./image/store.ts";
import { createLedger } from "./microvm/ledger.ts";
import { reap } from "./microvm/reap.ts";
import { loadReceiptKey } from "./handover/receipt.ts";
import { Cleanup } from "./lib/cleanup.ts";
import { AppError, messageOf } from "./lib/errors.ts";
import { requireOurs } from "./lib/guarded-path.ts";
import type { Logger } from "./lib/logger.ts";
import { orAfter } from "./lib/wait.ts";
import { createMetrics } from "./lib/metrics.ts";
import { dataPaths, packageRoot } from "./lib/paths.ts";
import { startSpawner } from "./lib/spawner.ts";
import { createTracer } from "./lib/tracing.ts";
import { vmmUids } from "./lib/user-range.ts";
import { parseBridgeCidr } from "./network/lease.ts";
import { createLinuxNetwork } from "./network/linux.ts";
import type { Network } from "./network/network.ts";
import { bootSpans } from "./session/boot-trace.ts";
import { createSnapshotStore } from "./image/snapshots.ts";
import { createPool } from "./microvm/pool.ts";
import { createWarm } from "./microvm/warm.ts";
import { createMicrovmStore } from "./microvm/store.ts";
import { forgetHistory } from "./session/history.ts";
import { requireImage } from "./session/refusals.ts";
import { createLocalSessions } from "./session/local-sessions.ts";
import { sessionReader } from "./session/row.ts";
import { createSessionStore } from "./session/store.ts";
import { loadProviders } from "./providers/recipes.ts";
import { openDatabase } from "./state/db.ts";
import { loadHostId } from "./state/host-id.ts";
import { createBackends, standardBackends, type VmmBackends } from "./vmm/backends.ts";
import { ensureCgroups } from "./vmm/cgroup.ts";
import { lookAtHierarchy } from "./vmm/hierarchy.ts";
import type { VmmBackend } from "./vmm/vmm.ts";

const TIDY_INTERVAL_MS = 60_000;
/** For each step of a stop, however the one before it ended. */
const STOP_MS = 10_000;

export interface ControllerOptions {
  config: Config;
  logger: Logger;
  /** Aborting it stops the controller; microVMs go on. */
  signal: AbortSignal;
  /** Folders, joined by `:`, of programs besides the system's own. */
  path?: string | undefined;
  /** Test seam. */
  overrides?: {
    vmm?: VmmBackend;
    network?: Network;
    images?: ImageStore;
    tidyIntervalMs?: number;
    stopMs?: number;
    quietMs?: number;
    limits?: Partial<Limits>;
  };
  onListening?: (address: string) => void;
}

/** Runs a controller until the signal. Throws AppErrors of configuration, database and listening. */
export const runController = async (options: ControllerOptions): Promise<void> => {
  const { config, logger, signal, overrides = {} } = options;
  const { stopMs = STOP_MS } = overrides;
  const paths = dataPaths(config.dataDir);
  requireRoot();
  // What it needs lives long or ends at once; by default Node lets twice as much pile up before it looks: 256 MiB with 200 sessions, 137 so.
  setFlagsFromString("--optimize-for-size");
  prepareDirectories(paths);

  const db = await openDatabase(paths.database);
  const keys = createKeyStore(db, paths.adminKey);
  await keys.ensureAdmin();
  const images = overrides.images ?? createImageStore(paths);
  const providers = loadProviders({
    directories: [join(packageRoot(), "providers"), paths.providers],
    overrides: config.providers,
  });
  const vmms = overrides.vmm
    ? createBackends({ candidates: [overrides.vmm], logger })
    : standardBackends({ ...config, path: options.path, paths, probe: { cacheFile: paths.kvmProbe }, logger });
  const network = overrides.network ?? linuxNetwork(config, paths.resolver, logger);
  const ledger = createLedger(db);
  const store = createSessionStore(
    db,
    sessionReader((sessionId, columns) =>
      logger.error({ sessionId, columns }, "the record of a session cannot be read: it counts as failed"),
    ),
  );
  const vms = createMicrovmStore(db);
  const metrics = createMetrics({ sessions: () => store.census(), leaks: () => chores.leaks() });
  const tracer = createTracer(config.telemetry.otlpEndpoint, logger);
  const hostId = loadHostId(paths.hostId);
  const microvmDeps = { config, paths, db, vms, ledger, network, vmms };
  const findImage = (): Promise<Image | undefined> => images.find(config.image);
  const isIdle = async (): Promise<boolean> =>
    (await store.census()).every(({ state }) => state !== "requested" && state !== "starting");
  const warm = createWarm({
    ...microvmDeps,
    snapshots: createSnapshotStore(paths),
    findImage,
    isIdle,
    ...(overrides.quietMs === undefined ? {} : { quietMs: overrides.quietMs }),
    logger,
  });
  const pool = createPool({ ...microvmDeps, warm, findImage, isIdle, logger });
  const isNobodys = (vmId: string): boolean => warm.isNobodys(vmId) || pool.isNobodys(vmId);
  const sessions = createLocalSessions({
    ...microvmDeps,
    warm,
    pool,
    onFallback: metrics.countFallback,
    store,
    providers,
    findImage,
    hostId,
    receiptKey: loadReceiptKey(paths.receiptKey),
    logger,
    onStage: metrics.observeStage,
    onBooted: (session, vm) => {
      tracer.export(bootSpans(session, vm, new Date().toISOString()));
      void pool.refill();
    },
  });
  const reapAll = (request: { dryRun: boolean }) => reap({ ...microvmDeps, isNobodys }, request);
  const chores = createChores({
    config,
    paths,
    ledger,
    network,
    sessions,
    reap: reapAll,
    warm: { keep: warm.keep, refill: pool.refill, isNobodys },
    forgetHistory: (steadyNow) => forgetHistory(db, config.history, Date.now(), steadyNow),
    logger,
  });
  const app = await createServer(
    {
      config,
      sessions,
      keys,
      providers,
      images: { isReady: async () => (await images.find(config.image)) !== undefined, list: () => images.list() },
      warm: {
        state: async () => ({ ...(await warm.state()), pool: { size: config.warm.pool, ready: pool.ready() } }),
        make: async () => void warm.make(requireImage(await findImage(), config.image)).catch(() => {}),
      },
      metrics,
      webDirectory: join(packageRoot(), "dist", "web"),
      limits: overrides.limits ?? {},
      reap: reapAll,
      tearDownNetwork: async () => {
        const held = await ledger.held();
        if (held.length > 0) throw stillNeeded(held.every(({ vmId }) => isNobodys(vmId)));
        await network.teardown();
      },
    },
    logger,
  );
  const spawner = startSpawner();
  try {
    // A former controller may have had them mounted where this one does not see it; who looks at them does not mount.
    await ensureCgroups().catch((error: unknown) => logger.error({ error: messageOf(error) }, "no control groups"));
    // Who asks for a session that lives on must not be told that it is over; looking at the host can wait.
    await sessions.resume().catch((error: unknown) => logger.error({ err: error }, "no session was taken up yet"));
    const address = await listen(app, config);
    logger.info({ address, publicUrl: config.publicUrl }, "listening");
    options.onListening?.(address);
    // Beside the work: the probe of KVM may take its time.
    sayHowItIs(images, vmms, config, logger).catch((error: unknown) =>
      logger.error({ error: messageOf(error) }, "no microVM can be started here"),
    );
    const tidy = (): Promise<void> => untilStopped(chores.tidy(), signal, stopMs, logger);
    await tidy();
    for await (const _ of untilAborted(every(overrides.tidyIntervalMs ?? TIDY_INTERVAL_MS, undefined, { signal }))) {
      await tidy();
    }
  } finally {
    const cleanup = new Cleanup();
    const push = (name: string, undo: () => Promise<unknown>): void =>
      cleanup.push(name, async () => {
        await orAfter(undo(), stopMs, () => {
          throw new AppError("timeout", "deadline", `It took longer than ${stopMs / 1000} s.`);
        });
      });
    push("the spawner", async () => spawner.stop());
    push("the database", () => db.destroy());
    push("the network", async () => {
      if ((await ledger.held()).length === 0) await network.teardown();
    });
    push("the spans", () => tracer.flush());
    push("the HTTP server", async () => app.close());
    push("the warm snapshot", () => warm.stop());
    push("the clones that wait", () => pool.stop());
    push("the sessions", async () => sessions.stop());
    await cleanup.run();
    logger.info("stopped");
  }
};

const stillNeeded = (areNobodys: boolean): AppError => {
  const sentence = areNobodys
    ? "MicroVMs of no session's need the bridge and the firewall: clones that wait for one, or what a warm snapshot is made of."
    : "A microVM still needs the bridge and the firewall.";
  const hint = areNobodys
    ? "They end with the controller, or are none without warm.pool; one that becomes a snapshot is over when that is made (sallyport image warm waits for it)."
    : "End them first: sallyport destroy --all.";
  return new AppError("conflict", "microvms-running", sentence, { hint });
};

/** `work`, which a stop waits for `stopMs` at most. */
const untilStopped = async (work: Promise<void>, signal: AbortSignal, stopMs: number, logger: Logger) => {
  const done = new AbortController();
  const stopped = signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true, signal: done.signal }));
  const late = stopped.then(() =>
    orAfter(work, stopMs, () => logger.warn("what the controller does by itself hangs: not waited for")),
  );
  await Promise.race([work, late]).finally(() => done.abort());
};

const requireRoot = (): void => {
  if (process.getuid?.() === 0) return;
  const sentence = "The controller makes bridges, TAPs and users' folders: it needs root.";
  throw new AppError("forbidden", "needs-root", sentence, {
    hint: "Run it with sudo. Its VMMs run as users of their own that may do nothing.",
  });
};

/** What somebody who starts the controller should know before the first sign-in does. */
const sayHowItIs = async (images: ImageStore, vmms: VmmBackends, config: Config, logger: Logger): Promise<void> => {
  const { gap } = await lookAtHierarchy();
  if (gap)
    logger.warn(`${gap.seen}: a VMM that somebody took over is bounded there by its processes' own limits alone`);
  const image = await images.find(config.image);
  if (image) await vmms.choose(image.vmlinux);
  else logger.warn(`there is no image "${config.image}" yet: sallyport image build --name ${config.image}`);
};

const prepareDirectories = (paths: ReturnType<typeof dataPaths>): void => {
  // Everything here is the controller's own; a microVM's user only passes through to its own folder.
  process.umask(0o077);
  for (const folder of [paths.root, paths.vms]) {
    makeFolder(folder);
    requireOurs(folder, lstatSync(folder), "folder");
    chmodSync(folder, 0o711);
  }
};

/** Not by mkdir's own recursion, which never ends below /proc. Throws AppError `data-dir-unusable`. */
const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (cause) {
    throw new AppError("invalid", "data-dir-unusable", `The folder ${folder} cannot be made: ${messageOf(cause)}.`, {
      hint: "Choose a data directory on a disk that can be written to (dataDir, SALLYPORT_DATA_DIR).",
      cause,
    });
  }
};

const linuxNetwork = (config: Config, directory: string, logger: Logger): Network =>
  createLinuxNetwork({
    bridge: config.network.bridge,
    ...parseBridgeCidr(config.network.cidr),
    table: config.network.table,
    allow: config.network.allow,
    vmmUids: vmmUids(config.vm.uidBase),
    resolver: { directory, upstream: config.network.dns.upstream },
    logger,
  });

/** An interval that ends, rather than throws, when its signal is aborted. */
async function* untilAborted(ticks: AsyncIterable<undefined>): AsyncGenerator<undefined> {
  try {
    yield* ticks;
  } catch (error) {
    if (!(error instanceof Error && error.name === "AbortError")) throw error;
  }
}
