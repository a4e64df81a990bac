/** A controller with real guests in a world of its own, without an identity provider. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type Client } from "../../src/client/client.ts";
import type { ConfigFile } from "../../src/config/config.ts";
import type { SessionView } from "../../src/contract/api.ts";
import type { SessionState } from "../../src/contract/session.ts";
import { ownUidBase } from "../../rig/user-range.ts";
import type { WorldProcess } from "../../rig/world-process.ts";
import { createWorld, GATEWAY_ADDRESS, type World } from "../../rig/world.ts";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { run } from "../../src/lib/exec.ts";
import { dataPaths, packageRoot, type DataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { shareCache } from "../fixtures/data-dir.ts";

export interface BootHost {
  world: World;
  paths: DataPaths;
  client: Client;
  controller: WorldProcess;
  /** Starts the controller again after it ended. */
  startController: () => Promise<void>;
  /** Ends it, and starts one whose configuration has these parts instead. */
  reconfigure: (change: Partial<ConfigFile>) => Promise<void>;
  /** Runs the command line; resolves to its exit code and output. */
  sallyport: (...args: string[]) => Promise<{ exitCode: number; output: string }>;
  /** Output of a program in the host's namespace. */
  ask: (file: string, ...args: string[]) => Promise<string>;
  destroy: () => Promise<void>;
}

export interface BootHostOptions {
  image?: string;
  session?: ConfigFile["session"];
  /** Which VMM; default the one that the controller chooses. */
  vmm?: ConfigFile["vmm"];
  /** Whether sessions start from a warm snapshot where there is one; default no. */
  isWarm?: boolean;
  /** Arguments of Node, in place of the command line's `up`, that run a controller with this configuration file. */
  controller?: (configFile: string) => string[];
  /** The data directory gets a disk of its own, of this size. */
  diskMib?: number;
}

/** Seconds at most, but in a machine that is emulated itself. */
const START_TIMEOUT_MS = 120_000;

export const createBootHost = async (
  name: string,
  cacheDir: string,
  options: BootHostOptions = {},
): Promise<BootHost> => {
  const cleanup = new Cleanup();
  const dataDir = join(cacheDir, "boot-data", name);
  cleanup.push("the disk", () => unmount(dataDir));
  const world = await createWorld({ name: `sallyport-${name}` });
  cleanup.push("the world", () => world.destroy());
  // A run that was killed may have left its disk.
  await unmount(dataDir);
  await rm(dataDir, { recursive: true, force: true });
  await mkdir(dataDir, { recursive: true });
  if (options.diskMib !== undefined) {
    await run("mount", ["-t", "tmpfs", "-o", `size=${options.diskMib}m,mode=711`, "sallyport-test", dataDir]);
  }
  const paths = dataPaths(dataDir);
  await shareCache(cacheDir, dataDir);
  const url = `unix:${join(world.directory, "api.sock")}`;
  const configFile = join(world.directory, "config.yaml");
  const config = {
    listen: url,
    dataDir,
    image: options.image ?? "default",
    network: { dns: { upstream: [GATEWAY_ADDRESS] } },
    session: { maxPerUser: 4, ...options.session },
    warm: { snapshots: options.isWarm ?? false, pool: 0 },
    vm: { uidBase: ownUidBase(dataDir) },
    ...(options.vmm ? { vmm: options.vmm } : {}),
    providers: { oidc: { issuer: "https://login.sallyport.test", clientId: "test" } },
  };
  await writeFile(configFile, JSON.stringify(config));
  const program = (...args: string[]) => [join(packageRoot(), "dist", "main.js"), "--config", configFile, ...args];
  const logFile = join(cacheDir, "boot-data", `${name}.log`);

  const spawn = async (file: string, args: string[]) => {
    let output = "";
    const child = await world.spawn("host", file, args, { onLine: (line) => (output += `${line}\n`), logFile });
    return { child, output: () => output };
  };
  const host: BootHost = {
    world,
    paths,
    client: undefined as never,
    controller: undefined as never,
    startController: async () => {
      host.controller = (await spawn(process.execPath, options.controller?.(configFile) ?? program("up"))).child;
      const key = await poll(() => readFile(paths.adminKey, "utf8").catch(() => undefined), {
        what: "the admin key",
        timeoutMs: START_TIMEOUT_MS,
        intervalMs: 100,
      });
      host.client = createClient({ url, key: key.trim() });
      await poll(async () => (await host.client.sessions().catch(() => undefined)) && true, {
        what: "the controller's API",
        timeoutMs: START_TIMEOUT_MS,
        intervalMs: 100,
      });
    },
    reconfigure: async (change) => {
      await host.controller.stop();
      await writeFile(configFile, JSON.stringify({ ...config, ...change }));
      await host.startController();
    },
    sallyport: async (...args) => {
      const { child, output } = await spawn(process.execPath, program(...args));
      return { exitCode: await child.ended, output: output() };
    },
    ask: async (file, ...args) => {
      const { child, output } = await spawn(file, args);
      await child.ended;
      return output();
    },
    destroy: () => cleanup.run(),
  };
  cleanup.push("the sessions", async () => {
    await host.sallyport("destroy", "--all");
  });
  try {
    await host.startController();
  } catch (error) {
    await cleanup.run();
    throw error;
  }
  return host;
};

/** Idempotent. */
const unmount = async (folder: string): Promise<void> => {
  const NOT_MOUNTED = 32;
  const { stderr } = await run("umount", [folder], { okCodes: [NOT_MOUNTED] });
  if (stderr !== "" && !/not mounted|no mount point/.test(stderr)) throw new Error(stderr);
};

/** Follows a session until it is in `state`; throws with the verdict when it ends otherwise. */
export const untilState = async (client: Client, sessionId: string, state: SessionState): Promise<SessionView> => {
  let last: SessionView | undefined;
  for await (const view of client.events(sessionId)) {
    if (view.state === state) return view;
    last = view;
  }
  throw new Error(`the session became ${last?.state}, not ${state}: ${JSON.stringify(last?.verdict)}`);
};

/** Follows a session until nothing of it is left. */
export const untilOver = async (client: Client, sessionId: string): Promise<SessionView> => {
  let last: SessionView | undefined;
  for await (const view of client.events(sessionId)) last = view;
  if (!last) throw new Error("the session had no events");
  return last;
};
