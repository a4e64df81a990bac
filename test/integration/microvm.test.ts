/** What of a microVM may go wrong, or be put in its way by others on the host, at its start and its end. */
import { chown, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { commandLine, isAlive, killProcess, type ProcessIdentity } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import type { SessionView } from "../../src/contract/api.ts";
import { AppError } from "../../src/lib/errors.ts";
import type { Suitability } from "../../src/vmm/vmm.ts";
import { cgroupExists, cgroupOfProcess } from "../../src/vmm/cgroup.ts";
import { listVmms } from "../../src/vmm/process.ts";
import { BOOT, hooks } from "../conformance/vmm-suite.ts";
import { NOBODY, startDecoy } from "../fixtures/decoy.ts";
import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { createFakeNetwork } from "../fixtures/fake-network.ts";
import { KINDS_OF_A_FAKE, kindsOf } from "../fixtures/receipt.ts";
import { specOf } from "../fixtures/spec.ts";
import { startController, type TestController, type TestControllerOptions } from "../fixtures/controller.ts";

const backend = createFakeBackend();
let controller: TestController;
afterEach(() => controller.dispose());

const begin = async (options: TestControllerOptions = {}): Promise<void> => {
  controller = await startController(options);
};

const untilState = async (sessionId: string, state: string): Promise<SessionView> => {
  for await (const view of controller.client.events(sessionId)) if (view.state === state) return view;
  throw new Error(`the session never became ${state}`);
};

/** A session whose browser is ready, and its VMM. */
const startSession = async () => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  await untilState(sessionId, "ready");
  const vm = (await controller.client.vms()).find((view) => view.sessionId === sessionId);
  const vmm = (await listVmms(controller.microvms)).find(({ vmId }) => vmId === vm?.vmId);
  if (!vm || !vmm) throw new Error("the session has no microVM");
  return { sessionId, vm, vmm };
};

const decoy = async (command: string[], uid: number): Promise<ProcessIdentity> => {
  const found = await startDecoy(command, { uid });
  onTestFinished(() => killProcess("The decoy", found));
  return found;
};

const SLEEP = ["perl", "-e", "sleep 600"];

test("processes of another user with a VMM's words keep no microVM alive and no controller from starting", async () => {
  await begin();
  const { sessionId, vmm } = await startSession();
  const words = await commandLine(vmm.process.pid);
  const endless = Array<string>(15).fill("x".repeat(100_000));
  const decoys = await Promise.all(
    [words, words, words, [...words, ...endless], [...endless, ...words], words].map((args) =>
      decoy([...SLEEP, ...args], NOBODY),
    ),
  );

  const { body } = await controller.client.destroy(sessionId);
  expect(body.gone.map(({ kind }) => kind)).toContain("process");
  expect(await isAlive(vmm.process)).toBe(false);

  controller = await controller.restart();
  expect(await controller.client.reap({ dryRun: false })).toEqual({ found: [], removed: [], failed: [] });
  expect(controller.log()).not.toContain("did not end");
  // That it is none of ours, and not that it may not be killed, is what saves it.
  for (const found of decoys) expect(await isAlive(found)).toBe(true);
});

test("what runs as a microVM's user ends with it, whatever it calls itself and however it hid", async ({ skip }) => {
  const hasThreads = await run("perl", ["-Mthreads", "-e", "1"]).then(
    () => true,
    () => false,
  );
  if (!hasThreads) skip("this perl has no threads");
  await begin();
  const { sessionId, vmm } = await startSession();
  const child = await decoy(SLEEP, vmm.uid);
  // Its first thread ends by itself, and the process looks like a zombie.
  const threaded = "use threads; threads->create(sub { sleep 600 }); syscall(60, 0)";
  const headless = await decoy(["perl", "-e", threaded], vmm.uid);
  const isHeadless = async () => ((await commandLine(headless.pid)).length === 0 ? true : undefined);
  await poll(isHeadless, { what: "the end of the first thread", timeoutMs: 10_000, intervalMs: 20 });
  expect(await isAlive(headless)).toBe(true);

  await controller.client.destroy(sessionId);
  for (const gone of [vmm.process, child, headless]) expect(await isAlive(gone)).toBe(false);
});

test("a microVM gets no user that something runs as already, and that is left alone", async () => {
  await begin();
  const { sessionId, vmm } = await startSession();
  await controller.client.destroy(sessionId);
  // Addresses are leased in turn, and users go with them.
  const next = await decoy(SLEEP, vmm.uid + 1);
  const { sessionId: refused } = await controller.client.start({ provider: "oidc" });
  const { verdict } = await untilState(refused, "failed");
  expect(verdict).toMatchObject({ sentence: expect.stringContaining(String(next.pid)) });
  await controller.client.destroy(refused);
  expect(await isAlive(next)).toBe(true);
});

test("a destroy that is tried again touches nothing of the microVM that has the address since", async () => {
  const network = createFakeNetwork("127.19.8.1", 30);
  const remove = network.remove.bind(network);
  let isFirst = true;
  network.remove = async (nic) => {
    await remove(nic);
    if (isFirst) throw new Error("nft: Broken pipe");
  };
  await begin({ network, config: { network: { cidr: "127.19.8.1/30" } } });
  const first = await startSession();
  await expect(controller.client.destroy(first.sessionId)).rejects.toThrow("All is gone, but not all went well.");
  isFirst = false;
  const second = await startSession();
  expect(second.vm.address).toBe(first.vm.address);
  expect(kindsOf(await controller.client.destroy(first.sessionId))).toEqual(KINDS_OF_A_FAKE);
  expect(await isAlive(second.vmm.process)).toBe(true);
  expect(await network.presence({ ...second.vm, mac: "", uid: 0 })).toMatchObject({ tap: true, firewall: true });
});

test("where no VMM suits, a start is refused with the reason and leaves nothing; it is looked at anew by the next", async () => {
  let isMissing = true;
  const suits = async (): Promise<Suitability> => {
    if (isMissing) throw new AppError("unavailable", "vmm-missing", "There is no VMM here.", { hint: "Install one." });
    return { accel: "kvm", why: "Installed by now." };
  };
  await begin({ vmm: { ...backend, suits } });
  await expect(controller.client.start({ provider: "oidc" })).rejects.toMatchObject({
    code: "vmm-missing",
    message: "There is no VMM here.",
    hint: "Install one.",
  });
  expect(await controller.client.sessions()).toEqual([]);
  expect(controller.log()).toContain("There is no VMM here.");
  isMissing = false;
  const { sessionId } = await startSession();
  const { vm } = await controller.client.session(sessionId);
  expect(vm).toEqual({ backend: "fake", accel: "kvm", why: "Installed by now." });
});

test("the folder of all microVMs may go: the next start makes it, open for VMMs to pass", async () => {
  await begin();
  await rm(controller.paths.vms, { recursive: true });
  await startSession();
  expect((await stat(controller.paths.vms)).mode & 0o777).toBe(0o711);
});

test("a removal that fails keeps no other from being done, and all is told; the next try makes it good", async () => {
  const network = createFakeNetwork("127.19.7.1", 29);
  let isBroken = true;
  const remove = network.remove.bind(network);
  network.remove = async (nic) => {
    if (isBroken) throw new Error("nft: no such thing");
    await remove(nic);
  };
  await begin({ network });
  const { sessionId, vm, vmm } = await startSession();
  await expect(controller.client.destroy(sessionId)).rejects.toMatchObject({
    message: expect.stringMatching(/Still there after its removal: tap, firewall, neighbour, lease\..*no such thing/),
  });
  expect(await isAlive(vmm.process)).toBe(false);
  const [held] = await controller.client.vms();
  expect(held?.holds.map(({ kind }) => kind).toSorted()).toEqual(["firewall", "lease", "neighbour", "tap"]);
  expect(held?.vmId).toBe(vm.vmId);

  isBroken = false;
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  expect(await controller.client.vms()).toEqual([]);
});

test("a VMM that nobody recorded is found by its user and removed, with what it started", async () => {
  await begin();
  const { paths, microvms } = controller;
  const left = await controller.abandon();
  const [uid] = microvms.uids;
  const vm = paths.vm("unrecorded00");
  await mkdir(vm.root, { mode: 0o700 });
  const nic = { tap: "", mac: "", address: "127.19.6.2", netns: "/proc/self/ns/net" };
  const spec = specOf({ vmId: "unrecorded00", paths: vm, ...nic, uid });
  const { process: vmm } = await backend.start(spec, BOOT, hooks());
  const child = await decoy(SLEEP, uid);
  await begin(left);
  const reaped = async () => controller.log().includes("reaped") || undefined;
  await poll(reaped, { what: "the reaper", timeoutMs: 10_000, intervalMs: 50 });
  expect(controller.log()).toContain(`process ${vmm.pid} (microVM unrecorded00)`);
  for (const gone of [vmm, child]) expect(await isAlive(gone)).toBe(false);
  expect(await controller.client.reap({ dryRun: true })).toEqual({ found: [], removed: [], failed: [] });
});

test("what is left of a microVM from before there were control groups goes with its process, and no process of others does", async () => {
  await begin();
  const { paths, microvms } = controller;
  const left = await controller.abandon();
  const [uid] = microvms.uids;
  const vm = paths.vm("ungrouped000");
  await mkdir(vm.root, { mode: 0o700 });
  await chown(vm.root, -1, uid);
  const vmm = await decoy(SLEEP, uid);
  const stranger = await decoy(SLEEP, uid + 1);
  await begin(left);
  const reaped = async () => controller.log().includes("reaped") || undefined;
  await poll(reaped, { what: "the reaper", timeoutMs: 10_000, intervalMs: 50 });
  expect(controller.log()).toContain(`process ${vmm.pid} (microVM ungrouped000)`);
  expect(await isAlive(vmm)).toBe(false);
  expect(await isAlive(stranger)).toBe(true);
});

test("a session that ends while its VMM starts ends the start, and leaves nothing", async () => {
  await begin({ behaviour: () => ({ vmm: "never-answers" }) });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  const started = async () => (await listVmms(controller.microvms))[0];
  const vmm = await poll(started, { what: "the VMM", timeoutMs: 10_000, intervalMs: 20 });
  const { body } = await controller.client.destroy(sessionId);
  expect(body).toMatchObject({ outcome: "destroyed-by-request" });
  expect(await isAlive(vmm.process)).toBe(false);
  expect(await controller.client.vms()).toEqual([]);
});

test("a microVM whose folder somebody removed is ended by the next controller, which says so", async () => {
  await begin();
  const { sessionId, vm, vmm } = await startSession();
  const left = await controller.abandon();
  await rm(controller.paths.vm(vm.vmId).root, { recursive: true });
  await begin(left);
  expect((await untilState(sessionId, "failed")).verdict).toMatchObject({ code: "folder-gone" });
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  expect(await isAlive(vmm.process)).toBe(false);
});

test("a microVM whose data directory was moved while it ran ends with its control group, which the receipt names", async () => {
  await begin();
  const { sessionId, vm, vmm } = await startSession();
  const [uidBase] = controller.microvms.uids;
  const { dataDir, network } = await controller.abandon();
  const group = await cgroupOfProcess(vmm.process.pid);
  await rename(dataDir, `${dataDir}-moved`);
  await begin({ dataDir: `${dataDir}-moved`, network, config: { vm: { uidBase } } });
  controller.microvms.uids = [uidBase, uidBase + 100];
  expect((await controller.client.session(sessionId)).state).toBe("ready");
  expect((await listVmms(controller.microvms)).map(({ vmId }) => vmId)).toEqual([vm.vmId]);
  expect(dirname(controller.paths.vm(vm.vmId).cgroup)).not.toBe(dirname(group ?? ""));
  const { body } = await controller.client.destroy(sessionId);
  expect(body.gone).toContainEqual(expect.objectContaining({ kind: "cgroup", ref: group }));
  expect(await cgroupExists(group ?? "")).toBe(false);
  expect(await isAlive(vmm.process)).toBe(false);
});

/** Changes the record of a controller that was stopped. */
const changeRecord = (statement: string, ...values: (string | null)[]): void => {
  const db = new DatabaseSync(controller.paths.database);
  db.prepare(statement).run(...values);
  db.close();
};

test("a microVM whose session is gone from its record is removed by the reaper, with all that it holds", async () => {
  await begin();
  const { sessionId, vm, vmm } = await startSession();
  const left = await controller.abandon();
  changeRecord("UPDATE vms SET session_id = NULL WHERE id = ?", vm.vmId);
  changeRecord("DELETE FROM sessions WHERE id = ?", sessionId);
  await begin(left);
  const gone = async () => ((await controller.client.vms()).length === 0 ? true : undefined);
  await poll(gone, { what: "the reaper", timeoutMs: 10_000, intervalMs: 50 });
  expect(await isAlive(vmm.process)).toBe(false);
  const isTold = async () => controller.log().includes(`microVM ${vm.vmId}, which belongs to nobody`) || undefined;
  await poll(isTold, { what: "the log", timeoutMs: 5_000, intervalMs: 20 });
  expect(await controller.client.reap({ dryRun: true })).toEqual({ found: [], removed: [], failed: [] });
});

test("a microVM of a VMM that this version does not know is left alone while it runs, with a sentence, and stops no other", async () => {
  await begin();
  const { sessionId, vm, vmm } = await startSession();
  const other = await startSession();
  const left = await controller.abandon();
  changeRecord("UPDATE vms SET backend = ? WHERE id = ?", "hal9000", vm.vmId);
  await begin(left);
  await expect(controller.client.destroy(sessionId)).rejects.toMatchObject({
    message: expect.stringContaining('knows no VMM "hal9000"'),
  });
  expect(kindsOf(await controller.client.destroy(other.sessionId))).toEqual(KINDS_OF_A_FAKE);
  expect((await controller.client.session(sessionId)).state).toBe("ready");
  expect(await isAlive(vmm.process)).toBe(true);
  expect(await stat(controller.paths.vm(vm.vmId).root)).toBeDefined();
  // The version that knows it takes it up again.
  const again = await controller.abandon();
  changeRecord("UPDATE vms SET backend = ? WHERE id = ?", "fake", vm.vmId);
  await begin(again);
  expect((await controller.client.session(sessionId)).state).toBe("ready");
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
});

test("one of an unknown VMM that has ended is taken apart like any other", async () => {
  await begin();
  const { sessionId, vm, vmm } = await startSession();
  const left = await controller.abandon();
  changeRecord("UPDATE vms SET backend = ? WHERE id = ?", "hal9000", vm.vmId);
  await killProcess("The VMM", vmm.process);
  await begin(left);
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
});
