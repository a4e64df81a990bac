/** The product as it is but for the VMM, in namespaces of its own: what it costs beside its machines is measured there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build as esbuild } from "esbuild";
import { stringify } from "yaml";
import { ownUidBase } from "../../../rig/user-range.ts";
import { createClient, type Client } from "../../../src/client/client.ts";
import { Cleanup } from "../../../src/lib/cleanup.ts";
import { apiSocketOf, dataPaths, packageRoot } from "../../../src/lib/paths.ts";
import { mountPoint } from "../../../src/vmm/hierarchy.ts";
import { cgroupsIn, endCgroup, removeCgroup } from "../../../src/vmm/cgroup.ts";
import { NODE } from "../../fixtures/namespace.ts";
import { compileVmm } from "./backend.ts";
import { GUESTS, type Loop, type WorldOptions } from "./options.ts";

export interface World {
  client: Client;
  adminKey: string;
  /** The controller's API. */
  socket: string;
  /** The controller's process. */
  pid: number;
  /** Command line that runs in the world's network. */
  inside(argv: string[]): string[];
  /** Last arguments of floor.sh. */
  floor: string[];
  /** Since it was asked last. */
  loop(): Promise<Loop>;
  /** So many more sessions are ready. */
  live(count: number): Promise<string[]>;
  /** Ends all sessions and the controller; nothing is left. */
  stop(): Promise<void>;
}

/** As the product runs it: what runs from its sources takes half as much memory again. */
const bundleController = async (): Promise<string> => {
  const outfile = join(packageRoot(), "dist/test/bench-controller.js");
  await esbuild({
    entryPoints: [join(import.meta.dirname, "controller-process.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    packages: "external",
    logLevel: "error",
  });
  return outfile;
};

/** `nodeArgs`: for who looks closer, e.g. `--cpu-prof`. */
export const startWorld = async ({ nodeArgs = [] }: { nodeArgs?: string[] } = {}): Promise<World> => {
  const cleanup = new Cleanup();
  try {
    const dataDir = await mkdtemp("/var/tmp/sallyport-bench-");
    cleanup.push("folder", () => rm(dataDir, { recursive: true, force: true }));
    const paths = dataPaths(dataDir);
    // The controller takes what it finds among its own for something that was left.
    const floorCgroup = `${paths.cgroup}-floor`;
    const socket = apiSocketOf(dataDir);
    const configFile = join(dataDir, "config.yaml");
    const config = {
      dataDir,
      listen: GUESTS.tcp,
      network: { bridge: "br0", cidr: `${GUESTS.gateway}/22` },
      session: { ttlSec: 3600, max: 1000, maxPerUser: 250 },
      providers: { oidc: { issuer: "https://login.sallyport.test", clientId: "bench" } },
      vm: { uidBase: ownUidBase(dataDir) },
    };
    await writeFile(configFile, stringify(config));
    const program = await compileVmm();
    const options: WorldOptions = { dataDir, configFile, program };
    const main = await bundleController();
    const argv = [
      "--net",
      "--mount",
      "--propagation",
      "private",
      "--",
      NODE,
      ...nodeArgs,
      main,
      JSON.stringify(options),
    ];
    // In a group of its own: a Ctrl-C is for us, who take it down in order.
    const child = spawn("unshare", argv, { detached: true, stdio: ["pipe", "pipe", "inherit"] });
    cleanup.push("microVMs", async () => {
      for (const name of await cgroupsIn(paths.cgroup)) await endCgroup(join(paths.cgroup, name));
      for (const name of await cgroupsIn(floorCgroup)) await endCgroup(join(floorCgroup, name));
      await removeCgroup(floorCgroup);
    });
    const exited = once(child, "exit");
    cleanup.push("controller", async () => {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
      await exited;
      clearTimeout(timer);
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    if ((await Promise.race([lines.next(), exited.then(() => ({ done: true }))])).done)
      throw new Error("the controller of the bench did not start");
    const adminKey = (await readFile(paths.adminKey, "utf8")).trim();
    const client = createClient({ url: `unix:${socket}`, key: adminKey });
    cleanup.push("client", () => client.close());
    const end = async (ids: string[]): Promise<void> => {
      const queue = [...ids];
      const work = async (): Promise<void> => {
        for (let id = queue.shift(); id !== undefined; id = queue.shift()) await client.destroy(id);
      };
      await Promise.all(Array.from({ length: 8 }, work));
    };
    cleanup.push("sessions", async () => {
      const all = await client.sessions();
      await end(all.filter(({ hasReceipt }) => !hasReceipt).map(({ sessionId }) => sessionId));
    });
    return {
      client,
      adminKey,
      socket,
      pid: child.pid ?? 0,
      inside: (command) => ["nsenter", `--net=/proc/${child.pid}/ns/net`, "--", ...command],
      floor: [program, dataDir, join(await mountPoint(), floorCgroup)],
      loop: async () => {
        child.stdin.write("\n");
        return JSON.parse((await lines.next()).value as string) as Loop;
      },
      live: async (count) => {
        const ids: string[] = [];
        const start = async (): Promise<void> => {
          while (ids.length < count) {
            const index = ids.push("") - 1;
            ids[index] = (await client.start({ provider: "oidc" })).sessionId;
            for await (const { state } of client.events(ids[index])) if (state === "ready") break;
          }
        };
        await Promise.all(Array.from({ length: 10 }, start));
        return ids;
      },
      stop: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run().catch(() => {});
    throw error;
  }
};
