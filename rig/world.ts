/**
 * A small internet on one machine, for the demo and the end-to-end tests:
 *
 *   namespace <name>-host                          namespace <name>-net
 *   controller, bridge, QEMU, command line         198.51.100.1   gateway and name server
 *   198.51.100.2 ──────────── veth ─────────────── 198.51.100.10  identity provider
 *
 * Nothing in it can reach the machine's own network. All its processes live in the two namespaces, so whatever is found
 * there belongs to it, and an end of ours by `kill -9` leaves nothing that the next run would not find and remove.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { AppError, errnoOf } from "../src/lib/errors.ts";
import { run } from "../src/lib/exec.ts";
import { identify, isAlive } from "../src/lib/process.ts";
import { unlessMissing } from "../src/lib/unless-missing.ts";
import { poll } from "../src/lib/wait.ts";
import { spawnIn, type SpawnOptions, type WorldProcess } from "./world-process.ts";

export const GATEWAY_ADDRESS = "198.51.100.1";
export const HOST_ADDRESS = "198.51.100.2";
export const IDENTITY_PROVIDER_ADDRESS = "198.51.100.10";
export const IDENTITY_PROVIDER_NAME = "login.sallyport.test";

export type Place = "host" | "net";

export interface World {
  /** For sockets, configuration and logs of this world's processes; removed with it. Mode 0700. */
  readonly directory: string;
  spawn(place: Place, file: string, args: string[], options: SpawnOptions): Promise<WorldProcess>;
  /** Ends every process in the world, removes namespaces and files. Idempotent. */
  destroy(): Promise<void>;
}

const owner = z.object({ pid: z.int(), startTicks: z.string() });

/**
 * Makes the world, after removing what a dead run left under the same name (a-z, 0-9, -; 20 characters at most).
 * Throws AppError `world-needs-root`, `world-in-use` (its owner lives), `namespace-taken` (somebody else's).
 */
export const createWorld = async ({ name }: { name: string }): Promise<World> => {
  if (!/^[a-z][a-z0-9-]{0,19}$/.test(name))
    throw new AppError("invalid", "world-name", `"${name}" cannot name a world.`);
  if (process.getuid?.() !== 0) {
    throw new AppError("forbidden", "world-needs-root", "Network namespaces can only be made by root.", {
      hint: "Run it with sudo.",
    });
  }
  await removeDeadWorld(name);
  await claim(name);

  const processes: WorldProcess[] = [];
  const world: World = {
    directory: directoryOf(name),
    spawn: async (place, file, args, options) => {
      const child = await spawnIn(namespaceOf(name, place), file, args, options);
      processes.push(child);
      return child;
    },
    destroy: async () => {
      for (let child = processes.pop(); child; child = processes.pop()) await child.stop();
      await removeWorld(name);
    },
  };
  try {
    await layCable(name);
    await startNameServer(name, world);
  } catch (error) {
    await world.destroy();
    throw error;
  }
  return world;
};

const PLACES: Place[] = ["host", "net"];
const namespaceOf = (name: string, place: Place): string => `${name}-${place}`;
const directoryOf = (name: string): string => join("/run/sallyport-world", name);
const ownerFileOf = (name: string): string => join(directoryOf(name), "owner.json");
/** `ip netns exec` lays the files in it over those in /etc. */
const etcOf = (name: string): string => join("/etc/netns", namespaceOf(name, "host"));
const namespaceExists = (namespace: string): boolean => existsSync(join("/run/netns", namespace));

const removeDeadWorld = async (name: string): Promise<void> => {
  const recorded = await readOwner(name);
  if (!recorded) {
    const taken = PLACES.map((place) => namespaceOf(name, place)).find(namespaceExists);
    if (!taken) return;
    throw new AppError(
      "conflict",
      "namespace-taken",
      `There is a network namespace ${taken} that Sallyport did not make.`,
      {
        hint: `If nobody needs it: ip netns del ${taken}`,
      },
    );
  }
  if (await isAlive(recorded)) {
    throw new AppError("conflict", "world-in-use", `Process ${recorded.pid} is using the world ${name} right now.`, {
      hint: "Wait for it to end, or stop it.",
    });
  }
  await removeWorld(name);
};

const readOwner = async (name: string): Promise<z.infer<typeof owner> | undefined> => {
  const text = await unlessMissing(readFile(ownerFileOf(name), "utf8"), undefined);
  return text === undefined ? undefined : owner.parse(JSON.parse(text));
};

/** The record comes before the first namespace: one without a record is somebody else's. */
const claim = async (name: string): Promise<void> => {
  await mkdir(directoryOf(name), { recursive: true, mode: 0o700 });
  await writeFile(ownerFileOf(name), JSON.stringify(await identify(process.pid)), { flag: "wx", mode: 0o600 });
};

const layCable = async (name: string): Promise<void> => {
  const host = namespaceOf(name, "host");
  const net = namespaceOf(name, "net");
  await mkdir(etcOf(name), { recursive: true });
  await writeFile(join(etcOf(name), "resolv.conf"), `nameserver ${GATEWAY_ADDRESS}\n`);
  for (const namespace of [host, net]) await run("ip", ["netns", "add", namespace]);
  const veth = ["link", "add", "uplink", "type", "veth", "peer", "name", "downlink", "netns", net];
  await run("ip", ["-n", host, ...veth]);
  await configure(host, [
    "link set lo up",
    "link set uplink up",
    `addr add ${HOST_ADDRESS}/24 dev uplink`,
    `route add default via ${GATEWAY_ADDRESS}`,
  ]);
  await configure(net, [
    "link set lo up",
    "link set downlink up",
    `addr add ${GATEWAY_ADDRESS}/24 dev downlink`,
    `addr add ${IDENTITY_PROVIDER_ADDRESS}/24 dev downlink`,
  ]);
};

const configure = async (namespace: string, commands: string[]): Promise<void> => {
  await run("ip", ["-n", namespace, "-batch", "-"], { input: `${commands.join("\n")}\n` });
};

const startNameServer = async (name: string, world: World): Promise<void> => {
  const args = [
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--pid-file=",
    "--no-resolv",
    "--no-hosts",
    "--bind-interfaces",
    `--listen-address=${GATEWAY_ADDRESS}`,
    `--address=/${IDENTITY_PROVIDER_NAME}/${IDENTITY_PROVIDER_ADDRESS}`,
    // Every other name: "there is no such name", at once, so that nothing waits for an internet that is not there.
    "--address=/#/",
  ];
  await world.spawn("net", "dnsmasq", args, { logFile: join(world.directory, "name-server.log") });
  const ask = ["netns", "exec", namespaceOf(name, "host"), "getent", "ahostsv4", IDENTITY_PROVIDER_NAME];
  await poll(
    async () =>
      (await run("ip", ask, { okCodes: [2] })).stdout.includes(IDENTITY_PROVIDER_ADDRESS) ? true : undefined,
    { what: "the world's name server", timeoutMs: 20_000, intervalMs: 200 },
  );
};

const removeWorld = async (name: string): Promise<void> => {
  for (const namespace of PLACES.map((place) => namespaceOf(name, place)).filter(namespaceExists)) {
    await killAll(namespace);
    await run("ip", ["netns", "del", namespace]);
  }
  await rm(etcOf(name), { recursive: true, force: true });
  await rm(directoryOf(name), { recursive: true, force: true });
};

/** Also those that left their process group, such as a microVM that was to outlive its controller. */
const killAll = (namespace: string): Promise<true> =>
  poll(
    async () => {
      const { stdout } = await run("ip", ["netns", "pids", namespace]);
      const pids = stdout.split("\n").filter(Boolean).map(Number);
      pids.forEach(kill);
      return pids.length === 0 ? true : undefined;
    },
    { what: `the end of the processes in ${namespace}`, timeoutMs: 20_000, intervalMs: 100 },
  );

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
};
