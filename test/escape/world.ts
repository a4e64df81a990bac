/** A host with everything in it that an escape could find, as permissive as it gets: where a try fails, the jail made it fail. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type ListenOptions } from "node:net";
import { dirname, join } from "node:path";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { run } from "../../src/lib/exec.ts";
import { makeCgroup, removeCgroup } from "../../src/vmm/cgroup.ts";
import { compileEscape } from "./compile.ts";

export interface World {
  /** Folder of this world, with room for more. */
  root: string;
  /** The program that tries. */
  program: string;
  /** `key=value` arguments that tell it what to look for. */
  found: string[];
  /** A file of root. */
  image: string;
  /** A TAP of its user's, for who is in no jail. */
  tap: string;
  remove(): Promise<void>;
}

/** Needs root and gcc. All that is planted may be read and written by `uid`, were it not for a jail; most of it by anybody. */
export const createWorld = async (uid: number): Promise<World> => {
  const cleanup = new Cleanup();
  try {
    return await plant(uid, cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};

const plant = async (uid: number, cleanup: Cleanup): Promise<World> => {
  const root = await mkdtemp("/var/tmp/sp-escape-");
  cleanup.push("the folder", () => rm(root, { recursive: true }));
  // With programs of root's in it, and files that are written to: nobody else's to enter.
  await chown(root, 0, uid);
  await chmod(root, 0o750);
  const mark = `${process.pid}`;
  const program = join(root, "firecracker-escape");
  await copyFile(await compileEscape(), program);
  const image = join(root, "image");
  const known = {
    console: join(root, "console.log"),
    database: join(root, "sallyport.db"),
    key: join(root, "operator.key"),
    outside: join(root, "outside"),
    control: join(root, "control.sock"),
    api: join(root, "api.sock"),
    abstract: `sp-escape-${mark}`,
    shm: mark,
    mq: `/sp-escape-${mark}`,
    tap: `esc${mark}`,
    bus: `/run/sp-escape-${mark}/system_bus_socket`,
    // For measurements (RFC 2544); on the loopback interface while the world is there.
    host: `198.18.${(process.pid >> 8) % 256}.${process.pid % 256}`,
  };
  for (const file of [known.console, known.database, known.key, known.outside]) await writeFile(file, "planted\n");
  await writeFile(image, "an image\n");
  for (const path of [known.control, known.api]) await listen({ path }, cleanup);
  await mkdir(dirname(known.bus), { recursive: true });
  cleanup.push("the bus's folder", () => rm(dirname(known.bus), { recursive: true }));
  await listen({ path: known.bus }, cleanup);
  await run("ip", ["address", "replace", `${known.host}/32`, "dev", "lo"]);
  cleanup.push("the address", async () => void (await run("ip", ["address", "del", `${known.host}/32`, "dev", "lo"])));
  const tap = `esm${mark}`;
  for (const name of [known.tap, tap]) {
    await run("ip", ["tuntap", "add", "dev", name, "mode", "tap", "user", String(uid)]);
    cleanup.push("a TAP", async () => void (await run("ip", ["link", "del", name])));
  }
  const group = `/sp-escape-${mark}`;
  const cgroup = await makeCgroup(group, { memoryMib: 16, pids: 1, cpus: 1 });
  cleanup.push("the control group", () => removeCgroup(group));
  const port = await listen({ host: "::", port: 0 }, cleanup);
  const found = Object.entries({ ...known, port, cgroup: dirname(cgroup) }).map(([name, value]) => `${name}=${value}`);
  const pid = await startVictim(uid, [program, "victim", ...found], cleanup);
  return { root, program, image, tap, found: [...found, `pid=${pid}`], remove: () => cleanup.run() };
};

/** Answers the port. */
const listen = async (where: ListenOptions, cleanup: Cleanup): Promise<number> => {
  const server = createServer((socket) => socket.destroy());
  server.listen(where);
  await once(server, "listening");
  cleanup.push("a server", () => void server.close());
  if (where.path) await chmod(where.path, 0o666);
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
};

/** A process of the VMM's own user. Answers its number. */
const startVictim = async (uid: number, command: string[], cleanup: Cleanup): Promise<number> => {
  const child = spawn("setpriv", [...asNobody(uid), ...command], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  cleanup.push("the victim", async () => {
    child.stdin.end();
    await ended;
  });
  const ready = await Promise.race([once(child.stdout, "data"), ended]);
  if (!String(ready[0]).startsWith("ready")) throw new Error(`The victim did not start: ${ready.join(" ")}`);
  return child.pid ?? 0;
};

export const asNobody = (uid: number): string[] => [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"];

/** Puts a program of root's, which would make its user root, into the folder that will be the VMM's. */
export const plantSetuid = async (world: World, folder: string): Promise<void> => {
  await copyFile(world.program, join(folder, "setuid"));
  await chmod(join(folder, "setuid"), 0o4755);
};
