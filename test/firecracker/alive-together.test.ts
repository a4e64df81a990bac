/** Two microVMs of one controller: apart from each other, bounded in what they cost, and gone when they are over, whoever is killed. */
import { readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { VmView } from "../../src/contract/api.ts";
import type { StartStage } from "../../src/contract/session.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { poll } from "../../src/lib/wait.ts";
import { untilOver } from "../boot/host.ts";
import { createStand, type Stand } from "../faults/stand.ts";
import { DEADLINES_SEC, FIRECRACKER } from "./vmm.ts";

const MIB = 1024 * 1024;
/** Of the cgroup of the guest that eats; a quarter of what its kernel believes to have. */
const GRANTED_MIB = 512;

/** For a guest that does nothing but fill its console. */
const FLOOD_TIMEOUT_MS = 8 * 60_000;

/** Run by the guest's systemd, as root, in place of what it usually starts. */
const EATS = 'systemd.run="/usr/bin/dd if=/dev/zero of=/dev/shm/eaten bs=1M"';
const FLOODS = 'systemd.run="/usr/bin/dd if=/dev/zero of=/dev/ttyS0 bs=64k"';

let host: Stand;
let eater: string;
let flooder: string;

const vmOf = async (sessionId: string): Promise<VmView & { pid: number }> => {
  const vm = (await host.client.vms()).find((one) => one.sessionId === sessionId);
  if (!vm || vm.pid === null) throw new Error(`session ${sessionId} has no VMM`);
  return { ...vm, pid: vm.pid };
};

const untilPassed = async (sessionId: string, awaited: StartStage): Promise<void> => {
  for await (const { stages } of host.client.events(sessionId))
    if (stages.some(({ stage, endedAt }) => stage === awaited && endedAt !== null)) return;
  throw new Error(`the session ended before ${awaited}`);
};

beforeAll(async () => {
  // Its agent is not among what systemd starts then.
  const deadlinesSec = { ...DEADLINES_SEC, agent: 3000 };
  host = await createStand("fcpair", inject("imageDataDir"), { vmm: FIRECRACKER, deadlinesSec });
  const begin = async (command: string): Promise<string> => {
    const { sessionId } = await host.begin({ kernelArgs: [command, "systemd.run_success_action=none"] });
    await untilPassed(sessionId, "kernel");
    return sessionId;
  };
  eater = await begin(EATS);
  flooder = await begin(FLOODS);
}, 12 * 60_000);
afterAll(() => host?.destroy());

const statusOf = async (pid: number, field: string): Promise<string> =>
  new RegExp(`^${field}:\\s+(.*)$`, "m").exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";

/** Below /sys/fs/cgroup. */
const cgroupOf = async (pid: number): Promise<string> =>
  /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, "utf8"))?.[1] ?? "";

test("two at once have a user, a cgroup, a network namespace, a MAC and an address each of their own", async () => {
  const seen = await Promise.all(
    [eater, flooder].map(async (sessionId) => {
      const { pid, address } = await vmOf(sessionId);
      const neighbour = (await host.inHost("ip", "neigh", "show", "to", address)).stdout;
      return {
        uid: await statusOf(pid, "Uid"),
        gid: await statusOf(pid, "Gid"),
        cgroup: await cgroupOf(pid),
        netns: await readlink(`/proc/${pid}/ns/net`),
        mac: /lladdr (\S+)/.exec(neighbour)?.[1],
        address,
      };
    }),
  );
  const [first, second] = seen;
  for (const what of Object.keys(first ?? {}) as (keyof NonNullable<typeof first>)[]) {
    expect(first?.[what], what).toMatch(/./);
    expect(first?.[what], what).not.toBe(second?.[what]);
  }
});

/** Numbers of all processes on the machine whose folder in /proc is one of those. */
const pidsWhere = async (isOne: (folder: string) => Promise<boolean>): Promise<number[]> => {
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0);
  const ones = pids.map(async (pid) => {
    const found = await unlessMissing(isOne(`/proc/${pid}`), false, ["ENOENT", "ESRCH", "EACCES"]);
    return found ? [pid] : [];
  });
  return (await Promise.all(ones)).flat();
};

test("no Firecracker runs outside a jail", async () => {
  const pids = await pidsWhere(async (folder) => (await readFile(`${folder}/comm`, "utf8")).trim() === "firecracker");
  expect(new Set(pids)).toEqual(new Set((await Promise.all([vmOf(eater), vmOf(flooder)])).map(({ pid }) => pid)));
  for (const pid of pids) {
    expect(await readlink(`/proc/${pid}/ns/mnt`)).not.toBe(await readlink("/proc/self/ns/mnt"));
    expect(await readlink(`/proc/${pid}/ns/pid`)).not.toBe(await readlink("/proc/self/ns/pid"));
    expect(await readdir(`/proc/${pid}/root`)).not.toContain("etc");
    expect(await statusOf(pid, "Uid")).not.toMatch(/\b0\b/);
    expect(await statusOf(pid, "CapEff")).toMatch(/^0+$/);
    expect(await statusOf(pid, "Seccomp")).toBe("2");
    expect(await cgroupOf(pid)).toMatch(/\/sallyport-[^/]+\/[0-9a-z]+$/);
  }
});

test("a controller that is killed finds both again, and takes neither for a stranger's", async () => {
  const before = await Promise.all([eater, flooder].map(vmOf));
  process.kill(host.controller.pid, "SIGKILL");
  await host.controller.ended;
  await host.startController();
  expect(await Promise.all([eater, flooder].map(vmOf))).toEqual(before);
  expect((await host.client.reap({ dryRun: true })).found).toEqual([]);
});

test(
  "a guest that eats memory dies in its cgroup, alone, and the verdict says so",
  async () => {
    const { pid } = await vmOf(eater);
    await writeFile(join("/sys/fs/cgroup", await cgroupOf(pid), "memory.max"), String(GRANTED_MIB * MIB));
    const { state, verdict } = await untilOver(host.client, eater);
    expect({ state, code: verdict?.code }).toEqual({ state: "failed", code: "vmm-out-of-memory" });
    expect(verdict?.sentence).toContain(`${GRANTED_MIB} MiB`);
    expect(await statusOf((await vmOf(flooder)).pid, "State")).toMatch(/^[RS]/);
  },
  5 * 60_000,
);

test(
  "a guest that writes its console without end costs the host a few mebibytes of disk, and lives",
  async () => {
    const { vmId, pid } = await vmOf(flooder);
    const file = host.paths.vm(vmId).console;
    let largest = 0;
    const isCut = async (): Promise<true | undefined> => {
      largest = Math.max(largest, (await stat(file)).blocks * 512);
      return (await host.client.console(flooder)).includes("bytes cut out here") || undefined;
    };
    await poll(isCut, { what: "a console that was cut", timeoutMs: FLOOD_TIMEOUT_MS, intervalMs: 200 });
    expect(largest).toBeLessThan(8 * MIB);
    expect(await statusOf(pid, "State")).toMatch(/^[RS]/);
  },
  FLOOD_TIMEOUT_MS + 20_000,
);

test("a VMM that is killed is named, and leaves nothing: no process, cgroup, namespace, folder; the leak gauge is 0", async () => {
  const { pid, vmId } = await vmOf(flooder);
  const cgroup = join("/sys/fs/cgroup", await cgroupOf(pid));
  const netns = await readlink(`/proc/${pid}/ns/net`);
  // It has lost its name on the bridge: as long as a process is in it, it is there.
  const inside = () => pidsWhere(async (folder) => (await readlink(`${folder}/ns/net`)) === netns);
  expect(await inside()).toContain(pid);
  expect((await stat(cgroup)).isDirectory()).toBe(true);
  process.kill(pid, "SIGKILL");
  expect((await untilOver(host.client, flooder)).verdict?.code).toBe("vmm-killed");
  expect(await unlessMissing(stat(cgroup), "gone")).toBe("gone");
  expect(await inside()).toEqual([]);
  expect((await readdir("/run/netns")).filter((name) => name.includes(vmId))).toEqual([]);
  expect(await readdir(host.paths.vms)).toEqual([]);
  expect(await host.client.vms()).toEqual([]);
  // The gauge is set by the round that a controller makes when it starts.
  await host.controller.stop();
  await host.startController();
  const gauge = async (): Promise<string | undefined> => {
    const metrics = await host.ask(
      "curl",
      "-s",
      "--unix-socket",
      join(host.world.directory, "api.sock"),
      "http://x/metrics",
    );
    const value = /^sallyport_leaked_resources (\S+)$/m.exec(metrics)?.[1];
    return value === "NaN" ? undefined : value;
  };
  expect(await poll(gauge, { what: "the leak gauge", timeoutMs: 30_000, intervalMs: 500 })).toBe("0");
});
