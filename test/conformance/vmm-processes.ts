/** Of every VMM backend: whose its processes are, how they are found, and that they end. */
import { readFile, readlink } from "node:fs/promises";
import { expect, test } from "vitest";
import { commandLine, identify, isAlive, isStopped, killProcess } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { newVmId } from "../../src/lib/id.ts";
import { exitIn, listVmms } from "../../src/vmm/process.ts";
import { NOBODY, startDecoy } from "../fixtures/decoy.ts";
import type { VmmSuite } from "./vmm-suite.ts";

export const vmmProcesses = ({ start, handle, range, vms }: VmmSuite): void => {
  test("lets the VMM outlive its controller: own session, own group, no pipe", async () => {
    const { process } = await start();
    const fields = (await readFile(`/proc/${process.pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    const [, , group, session] = fields.map(Number);
    // Those of the program that holds its jail, where there is one.
    expect({ group, session }).toEqual({ group: session, session: group });
    expect(group).not.toBe(Number((await readFile("/proc/self/stat", "utf8")).split(") ")[1]?.split(" ")[2]));
    const ends = await Promise.all([0, 1, 2].map((fd) => readlink(`/proc/${process.pid}/fd/${fd}`)));
    expect(ends.filter((end) => end.startsWith("pipe:") || end.startsWith("socket:"))).toEqual([]);
  });

  test("gives the VMM nothing of the controller's environment", async () => {
    process.env["SALLYPORT_TEST_SECRET"] = "planted";
    const { process: vmm } = await start();
    expect(await readFile(`/proc/${vmm.pid}/environ`, "utf8")).not.toContain("planted");
    delete process.env["SALLYPORT_TEST_SECRET"];
  });

  test("finds its processes by the control group they are in, and no others", async () => {
    const first = await start();
    const second = await start();
    const found = (await vms()).sort((a, b) => a.process.pid - b.process.pid);
    expect(found).toEqual([
      { vmId: first.spec.vmId, uid: first.spec.uid, process: first.process },
      { vmId: second.spec.vmId, uid: second.spec.uid, process: second.process },
    ]);
    expect(await listVmms(range(range().cgroup.slice(0, -1)))).toEqual([]);
    expect(await listVmms(range("/nowhere"))).toEqual([]);
    expect(await listVmms({ ...range(), uids: [second.spec.uid, second.spec.uid] })).toHaveLength(1);
  });

  test("kills for certain, and twice", async () => {
    const { spec, process } = await start();
    await handle({ ...spec, process }).kill();
    expect(await identify(process.pid)).toBeUndefined();
    expect(await vms()).toEqual([]);
    await handle({ ...spec, process }).kill();
    await expect(handle({ ...spec, process }).status(200)).rejects.toBeDefined();
    const left = (await handle({ ...spec, process }).left()).map(({ kind }) => kind);
    expect(left).not.toContain("process");
    expect(left).not.toContain("cgroup");
  });

  test("leaves in the VMM's log how it ended when somebody else ended it", async () => {
    const { spec, process: vmm } = await start();
    process.kill(vmm.pid, "SIGKILL");
    const exit = async (): Promise<string | undefined> =>
      exitIn(await readFile(spec.paths.vmmLog, "utf8")) ?? undefined;
    expect(await poll(exit, { what: "its end in the log", timeoutMs: 10_000, intervalMs: 50 })).toBe(
      "was ended by SIGKILL",
    );
  });

  test("is seen to be stopped, and to go on", async () => {
    const { process: vmm } = await start();
    expect(await isStopped(vmm)).toBe(false);
    process.kill(vmm.pid, "SIGSTOP");
    const stopped = async (): Promise<true | undefined> => (await isStopped(vmm)) || undefined;
    await poll(stopped, { what: "the stop", timeoutMs: 5_000, intervalMs: 20 });
    expect(await isAlive(vmm)).toBe(true);
    process.kill(vmm.pid, "SIGCONT");
    const running = async (): Promise<true | undefined> => !(await isStopped(vmm)) || undefined;
    await poll(running, { what: "its going on", timeoutMs: 5_000, intervalMs: 20 });
  });

  test("kills no process that only has the number", async () => {
    const { spec, process } = await start();
    const other = { vmId: newVmId(), uid: spec.uid + 1 };
    await handle({ ...other, process: { ...process, startTicks: "1" } }).kill();
    expect(await isAlive(process)).toBe(true);
  });

  test("kills what was never recorded, and what a VMM left behind in a session of its own", async () => {
    const { spec, process } = await start();
    const child = await startDecoy(["perl", "-e", "sleep 600"], { uid: spec.uid });
    const other = await startDecoy(["perl", "-e", "sleep 600"], { uid: spec.uid + 1 });
    expect(await handle({ ...spec, process: null }).processes()).toEqual(expect.arrayContaining([process, child]));
    await handle({ ...spec, process: null }).kill();
    expect(await handle({ ...spec, process }).processes()).toEqual([]);
    expect(await isAlive(other)).toBe(true);
    await killProcess("The decoy", other);
  });

  test("is not deceived by another user's process that says the same of itself, nor keeps what it says", async () => {
    const { spec, process } = await start();
    const args = await commandLine(process.pid);
    const [same, endless] = await Promise.all([
      startDecoy(["perl", "-e", "sleep 600", ...args], { uid: NOBODY }),
      startDecoy(["perl", "-e", "sleep 600", ...args, ...Array<string>(15).fill("x".repeat(100_000))], {
        uid: NOBODY,
      }),
    ]);
    expect(await vms()).toEqual([{ vmId: spec.vmId, uid: spec.uid, process }]);
    expect(Buffer.byteLength((await commandLine(endless.pid)).join(" "))).toBeLessThan(129 * 1024);
    await handle({ ...spec, process }).kill();
    expect(await isAlive(process)).toBe(false);
    for (const decoy of [same, endless]) {
      expect(await isAlive(decoy)).toBe(true);
      await killProcess("The decoy", decoy);
    }
  });
};
