/** What all VMMs are started in: seen from within by a program that says it, and ended from outside whatever it does. */
import { chown, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths, packageRoot, type VmPaths } from "../../src/lib/paths.ts";
import { identify, isAlive, killProcess } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { cgroupExists, cgroupFacts, cgroupPids, cgroupsIn, endCgroup } from "../../src/vmm/cgroup.ts";
import { makeCgroup } from "../../src/vmm/cgroup.ts";
import { lookAtHierarchy } from "../../src/vmm/hierarchy.ts";
import { inJail, MAX_FILE_BYTES, MAX_PROCESSES } from "../../src/vmm/jail.ts";
import { exitIn, handleOf, listStrangers, listVmms, startVmm } from "../../src/vmm/process.ts";
import { asUser } from "../../src/vmm/unprivileged.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";
import { startDecoy } from "../fixtures/decoy.ts";
import { createNamespace, NODE, type Namespace } from "../fixtures/namespace.ts";

const UID = 1_900_000_101;
const LIMITS = { memoryMib: 96, pids: 40, cpus: 1 };
let folder: string;
let empty: Namespace;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-jail-"));
  empty = await createNamespace("jail");
});
afterAll(async () => {
  await empty.remove();
  for (const vmId of await cgroupsIn(dataPaths(folder).cgroup)) await endCgroup(dataPaths(folder).vm(vmId).cgroup);
  await rm(folder, { recursive: true });
});

const start = async (script: string, { uid = UID, limits = LIMITS } = {}) => {
  const vmId = newVmId();
  const paths: VmPaths = { ...dataPaths(folder).vm(vmId), vmmLog: join(folder, `${vmId}.log`) };
  const spec = { netns: `/run/netns/${empty.name}`, memoryMib: 64 } as MicrovmSpec;
  const program = uid === 0 ? ["sh", "-c", script] : asUser(uid, ["sh", "-c", script]);
  const argv = inJail(await makeCgroup(paths.cgroup, limits), spec, program);
  const { identity, died } = await startVmm({ argv, logFile: paths.vmmLog });
  const record = { vmId, uid: UID, paths, process: identity };
  return { vmId, paths, identity, died, record, vmm: handleOf(record) };
};

const said = async (script: string): Promise<string> => {
  const { died, paths, vmm } = await start(script);
  await died.catch(() => {});
  await vmm.kill();
  return readFile(paths.vmmLog, "utf8");
};

test("it has its microVM's control group, an empty network namespace, and limits that need no controller", async () => {
  const text = await said("cat /proc/self/cgroup /proc/self/limits; ip -o link");
  expect(text).toMatch(/^0::\/sallyport-[0-9a-f]{12}\/[0-9a-z]{12}$/m);
  expect(text.match(/^\d+: /gm)).toEqual(["1: "]);
  expect(text).toMatch(/^1: lo: /m);
  const limit = (name: string): string | undefined => new RegExp(`^${name} +(\\d+) +(\\d+) `, "m").exec(text)?.[2];
  expect(limit("Max file size")).toBe(String(MAX_FILE_BYTES));
  expect(limit("Max core file size")).toBe("0");
  expect(limit("Max processes")).toBe(String(MAX_PROCESSES));
  expect(limit("Max open files")).toBe("1024");
  expect(Number(limit("Max address space"))).toBeLessThan(8 * 1024 ** 3);
});

test("what is in the group is the microVM's, root's programs too, and nobody else's", async () => {
  const held = await start("sleep 600 & sleep 600", { uid: 0 });
  const both = async () => ((await held.vmm.processes()).length >= 2 ? held.vmm.processes() : undefined);
  const found = await poll(both, { what: "both processes", timeoutMs: 5_000, intervalMs: 20 });
  expect(found.map(({ pid }) => pid)).toContain(held.identity.pid);
  expect(new Set(found.map(({ pid }) => pid))).toEqual(new Set(await cgroupPids(held.paths.cgroup)));
  expect(await handleOf({ ...held.record, paths: dataPaths(folder).vm(newVmId()), process: null }).processes()).toEqual(
    [],
  );
  expect((await held.vmm.left()).map(({ kind }) => kind)).toContain("cgroup");
  await held.vmm.kill();
  expect(await isAlive(held.identity)).toBe(false);
  expect(await held.vmm.left()).toEqual([]);
});

test("VMMs are found by the group they are in, whatever they call themselves", async () => {
  const { vmId, identity, vmm } = await start("exec sleep 600");
  const range = { ...dataPaths(folder), uids: [UID, UID] } as const;
  const found = async () => ((await listVmms(range)).length > 0 ? listVmms(range) : undefined);
  expect(await poll(found, { what: "the VMM", timeoutMs: 5_000, intervalMs: 20 })).toEqual([
    { vmId, uid: UID, process: identity },
  ]);
  expect(await listVmms({ ...range, cgroup: `${range.cgroup}0` })).toEqual([]);
  await vmm.kill();
});

test("one from before there were groups is found by the folder that its user was given, and what has none is a stranger", async () => {
  const { cgroup, vms } = dataPaths(folder);
  const range = { cgroup, vms, uids: [UID + 1, UID + 2] } as const;
  const [old, stranger] = [
    await startDecoy(["sleep", "600"], { uid: UID + 1 }),
    await startDecoy(["sleep", "600"], { uid: UID + 2 }),
  ];
  await mkdir(join(vms, "old"), { recursive: true });
  await chown(join(vms, "old"), -1, UID + 1);
  try {
    expect(await listVmms(range)).toEqual([{ vmId: "old", uid: UID + 1, process: old }]);
    expect(await listStrangers(range)).toMatchObject([{ uid: UID + 2, process: stranger }]);
    // Two folders of one user: whose it is nobody knows.
    await mkdir(join(vms, "other"));
    await chown(join(vms, "other"), -1, UID + 1);
    expect(await listVmms(range)).toEqual([]);
  } finally {
    for (const decoy of [old, stranger]) await killProcess("The decoy", decoy);
  }
});

test("one that forks without end is bounded, ended at one stroke, and its group goes", async () => {
  const { vmm, paths, identity } = await start("while :; do sleep 5 & done");
  const many = async () => ((await cgroupPids(paths.cgroup)).length >= 30 ? true : undefined);
  await poll(many, { what: "many processes", timeoutMs: 10_000, intervalMs: 20 });
  const most = (await lookAtHierarchy()).controllers.includes("pids") ? LIMITS.pids : MAX_PROCESSES + 2;
  expect((await cgroupPids(paths.cgroup)).length).toBeLessThanOrEqual(most);
  await vmm.kill();
  expect(await identify(identity.pid)).toBeUndefined();
  expect(await cgroupExists(paths.cgroup)).toBe(false);
  await vmm.kill();
});

test("one that takes more memory than it was given ends, and no other", async ({ skip }) => {
  if (!(await lookAtHierarchy()).controllers.includes("memory"))
    skip("cgroup v2 has no memory controller on this host");
  const { died, vmm, paths } = await start("perl -e 'my $x = q(x) x (300 << 20); sleep 600'");
  await expect(died).rejects.toThrow(/SIGKILL/);
  expect(await cgroupFacts(paths.cgroup)).toMatchObject({
    memoryLimitMib: LIMITS.memoryMib,
    oomKills: expect.any(Number),
  });
  expect((await cgroupFacts(paths.cgroup))?.oomKills).toBeGreaterThan(0);
  await vmm.kill();
});

test("where the hierarchy is mounted nowhere, looks say so and mount nothing; a controller that starts has it, and ends the group", async () => {
  const { paths, identity, vmId, record } = await start("exec sleep 600");
  const isIn = async () => (await cgroupPids(paths.cgroup)).includes(identity.pid) || undefined;
  await poll(isIn, { what: "its place in the group", timeoutMs: 20_000, intervalMs: 10 });
  // `ip netns exec` gives its program another /sys, with nothing mounted below it.
  const seen = await empty.evaluate(
    `const { cgroupExists, cgroupFacts, cgroupPids, cgroupsIn, endCgroup, ensureCgroups } = await import(args.cgroups);
     const { handleOf } = await import(args.processes);
     const isMounted = () => / - cgroup2 /.test(require("fs").readFileSync("/proc/self/mountinfo", "utf8"));
     const { cgroup } = args.record.paths;
     const looks = [
       ...[cgroupExists, cgroupFacts, cgroupPids, cgroupsIn].map((look) => look(cgroup)),
       handleOf(args.record).left(),
     ];
     const said = (await Promise.allSettled(looks)).map(({ reason }) => reason?.code);
     const byLooks = isMounted();
     await Promise.all([ensureCgroups(), ensureCgroups()]);
     const found = await cgroupsIn(args.parent);
     await endCgroup(cgroup);
     return { said, byLooks, found, left: await cgroupsIn(args.parent) };`,
    {
      cgroups: join(packageRoot(), "src/vmm/cgroup.ts"),
      processes: join(packageRoot(), "src/vmm/process.ts"),
      parent: dataPaths(folder).cgroup,
      record,
    },
  );
  const said = Array<string>(5).fill("cgroup-missing");
  expect(seen).toEqual({ said, byLooks: false, found: [vmId], left: [] });
  expect(await isAlive(identity)).toBe(false);
});

test("where no hierarchy can be had, a VMM is ended nonetheless, and nobody says that its group is gone", async () => {
  const { identity, record, vmm } = await start("exec sleep 600");
  const isJailed = async () => (await readFile(`/proc/${identity.pid}/comm`, "utf8")) === "sleep\n" || undefined;
  await poll(isJailed, { what: "the program", timeoutMs: 20_000, intervalMs: 10 });
  const said = await empty.evaluate(
    `require("child_process").execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", "/run"]);
     const { handleOf } = await import(args.processes);
     const vmm = handleOf(args.record);
     return (await Promise.allSettled([vmm.kill(), vmm.left()])).map(({ reason }) => reason?.code);`,
    { processes: join(packageRoot(), "src/vmm/process.ts"), record },
  );
  expect(said).toEqual(["cgroup-missing", "cgroup-missing"]);
  expect(await isAlive(identity)).toBe(false);
  await vmm.kill();
  expect(await vmm.left()).toEqual([]);
});

test("a group without a microVM is ended with all that is in it", async () => {
  const { paths, identity } = await start("sleep 600");
  const isIn = async () => (await cgroupPids(paths.cgroup)).includes(identity.pid) || undefined;
  await poll(isIn, { what: "its place in the group", timeoutMs: 20_000, intervalMs: 10 });
  await endCgroup(paths.cgroup);
  expect(await isAlive(identity)).toBe(false);
  await endCgroup(paths.cgroup);
});

test("the parent of all groups goes with the last of them, and beside it others start", async () => {
  const { cgroup, vm } = dataPaths(join(folder, "parent"));
  const rounds = Array.from({ length: 2 }, async (_, lane) => {
    for (let round = 0; round < 150; round += 1) {
      const group = vm(`lane${lane}round${round}`).cgroup;
      await makeCgroup(group, LIMITS);
      expect(await cgroupExists(group)).toBe(true);
      await endCgroup(group);
    }
  });
  await Promise.all(rounds);
  expect(await cgroupExists(cgroup)).toBe(false);
});

test.each([
  ["a microVM is ended", "asUser", "handleOf(args.record).kill()"],
  ["a group without a microVM is ended, of root's programs too", "asRoot", "endCgroup(args.record.paths.cgroup)"],
])("where groups may not be written to, %s, and what keeps its group is said", async (_, who, end) => {
  const { record, identity, vmm, paths } = await start("exec sleep 600", who === "asRoot" ? { uid: 0 } : {});
  const isIn = async () => (await cgroupPids(paths.cgroup)).includes(identity.pid) || undefined;
  await poll(isIn, { what: "its place in the group", timeoutMs: 20_000, intervalMs: 10 });
  const error = await empty.evaluate(
    `const { execFileSync } = require("child_process");
     execFileSync("mount", ["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
     execFileSync("mount", ["-o", "remount,bind,ro", "/sys/fs/cgroup"]);
     const { handleOf } = await import(args.src + "/vmm/process.ts");
     const { endCgroup } = await import(args.src + "/vmm/cgroup.ts");
     return ${end}.then(() => null, ({ code, message, hint }) => ({ code, message, hint }));`,
    { src: join(packageRoot(), "src"), record },
  );
  expect(error).toMatchObject({
    code: "cgroup-refused",
    message: expect.stringMatching(/EROFS: read-only file system/),
    hint: expect.stringContaining("ProtectControlGroups"),
  });
  expect(await isAlive(identity)).toBe(false);
  expect(await vmm.left()).toEqual([{ kind: "cgroup", ref: paths.cgroup }]);
  await vmm.kill();
  expect(await vmm.left()).toEqual([]);
});

test("the end of what holds a jail is no end of its VMM, and its log says none", async () => {
  const paths: VmPaths = { ...dataPaths(folder).vm(newVmId()), vmmLog: join(folder, "held.log") };
  const vm = handleOf({ vmId: "held", uid: UID, paths, process: null });
  const stays = async () => (await vm.processes()).length > 0;
  const argv = ["sh", "-c", `"$@" & wait`, "sh", ...asUser(UID, ["sleep", "600"])];
  const { identity, died } = await startVmm({ argv, logFile: paths.vmmLog, stays });
  const own = async () => (await vm.processes())[0];
  const held = await poll(own, { what: "the VMM", timeoutMs: 10_000, intervalMs: 20 });
  process.kill(identity.pid, "SIGKILL");
  await expect(died).rejects.toMatchObject({ code: "vmm-unheld", message: expect.stringContaining("SIGKILL") });
  expect(exitIn(await readFile(paths.vmmLog, "utf8"))).toBeNull();
  expect(await isAlive(held)).toBe(true);
  await vm.kill();
});

test("processes at the top of a control group namespace keep it from giving controllers on, as in a container", async () => {
  const group = dataPaths(folder).vm("container").cgroup;
  const inside = `import { execFileSync } from "node:child_process";
    execFileSync("mount", ["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
    const { controllersIn, findMount } = await import(process.argv[1]);
    console.log((await controllersIn(await findMount())).isHeld);`;
  const node = [NODE, "--input-type=module", "-e", inside, join(packageRoot(), "src/vmm/hierarchy.ts")];
  const inGroup = ["-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', await makeCgroup(group, LIMITS)];
  const { stdout } = await run("sh", [...inGroup, "unshare", "--cgroup", "--mount", ...node]);
  expect(stdout).toBe("true\n");
  await endCgroup(group);
});

test("where no group can be made, that is said before anything is made, and by who makes one", async () => {
  const said = await empty.evaluate<{ code: string; message: string }[]>(
    `const { execFileSync } = require("child_process");
     execFileSync("mount", ["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
     execFileSync("mount", ["-o", "remount,bind,ro", "/sys/fs/cgroup"]);
     const { requireCgroups } = await import(args.src + "/vmm/hierarchy.ts");
     const { makeCgroup } = await import(args.src + "/vmm/cgroup.ts");
     const { createBackends } = await import(args.src + "/vmm/backends.ts");
     const limits = { memoryMib: 64, pids: 10, cpus: 1 };
     const tries = [requireCgroups(), makeCgroup("/sallyport-none/abc", limits), createBackends({ candidates: [] }).choose("/vmlinux")];
     return (await Promise.allSettled(tries)).map(({ reason: { code, message } }) => ({ code, message }));`,
    { src: join(packageRoot(), "src") },
  );
  const sentence = expect.stringContaining("cgroup v2 is mounted read-only at /sys/fs/cgroup (EROFS)");
  expect(said).toEqual(Array(3).fill({ code: "cgroup-missing", message: sentence }));
});

test("a hierarchy that another mount covers is no hierarchy: it is mounted once more", async () => {
  const groups = await empty.evaluate(
    `const { execFileSync } = require("child_process");
     execFileSync("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
     execFileSync("mount", ["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
     execFileSync("mount", ["-t", "tmpfs", "tmpfs", "/sys/fs/cgroup"]);
     const { cgroupExists, endCgroup, makeCgroup } = await import(args.cgroups);
     const folder = await makeCgroup(args.group, { memoryMib: 64, pids: 10, cpus: 1 });
     const wasThere = await cgroupExists(args.group);
     await endCgroup(args.group);
     return { folder, wasThere };`,
    { cgroups: join(packageRoot(), "src/vmm/cgroup.ts"), group: dataPaths(folder).vm("covered").cgroup },
  );
  const at = join("/run/sallyport/cgroup", dataPaths(folder).vm("covered").cgroup);
  expect(groups).toEqual({ folder: at, wasThere: true });
});
