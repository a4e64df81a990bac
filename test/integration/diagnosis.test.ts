/** Diagnosis through the controller and the command line, on a fake machine; real guests are test/faults. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import type { SessionView } from "../../src/contract/api.ts";
import { BOOT_STAGES, isPassed, type StageRecord } from "../../src/contract/session.ts";
import { AppError } from "../../src/lib/errors.ts";
import { poll } from "../../src/lib/wait.ts";
import { runCli } from "../../src/cli/cli.ts";
import { readEnv } from "../../src/config/env.ts";
import { cgroupOfProcess } from "../../src/vmm/cgroup.ts";
import { lookAtHierarchy } from "../../src/vmm/hierarchy.ts";
import { listVmms } from "../../src/vmm/process.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { createFakeNetwork } from "../fixtures/fake-network.ts";
import type { FakeVmmBehaviour } from "../fixtures/fake-vmm.ts";

let controller: TestController;
afterEach(() => controller.dispose());

const start = async (behaviour: FakeVmmBehaviour): Promise<string> => {
  controller = await startController({ behaviour: () => behaviour });
  return (await controller.client.start({ provider: "oidc" })).sessionId;
};

const until = async (sessionId: string, state: SessionView["state"]): Promise<SessionView> => {
  for await (const view of controller.client.events(sessionId)) if (view.state === state) return view;
  throw new Error(`the session never became ${state}`);
};

const isVmmUp = ({ stage, endedAt }: StageRecord): boolean => stage === "vmm-up" && endedAt !== null;

const cli = async (...args: string[]): Promise<{ exitCode: number; output: string }> => {
  let output = "";
  const sink = { write: (text: string, done?: () => void) => ((output += text), done?.()) };
  const exitCode = await runCli([...args, "--url", controller.url, "--key", controller.adminKey], {
    env: readEnv(),
    stdout: sink,
    stderr: sink,
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return { exitCode, output };
};

test("a healthy microVM: nothing wrong, with the proof, by session and by microVM; nothing to look at once it is gone", async () => {
  const sessionId = await start({});
  const { vmId } = await until(sessionId, "ready");
  const { diagnosis, facts } = await controller.client.diagnosis(sessionId);
  expect(diagnosis).toMatchObject({ isProblem: false, cause: { code: "nothing-wrong" }, consequences: [] });
  expect(diagnosis?.cause.evidence).toContain("Firefox has painted its first page");
  expect(facts?.guest?.browser).toBe("painted");
  for (const name of [sessionId, vmId ?? ""]) {
    const { exitCode, output } = await cli("diagnose", name);
    expect([exitCode, output.split(":")[0]]).toEqual([0, "nothing-wrong"]);
  }
  await controller.client.destroy(sessionId);
  expect(await controller.client.diagnosis(sessionId)).toMatchObject({ diagnosis: null, facts: null, verdict: null });
});

test("a microVM whose VMM is silent still, or waits for its guest's network, is booting and no problem", async () => {
  const sessionId = await start({ vmm: "never-answers" });
  const vmm = async () => (await listVmms(controller.microvms))[0];
  await poll(vmm, { what: "the VMM", timeoutMs: 10_000, intervalMs: 20 });
  const booting = { isProblem: false, cause: { code: "still-booting" } };
  expect(await controller.client.diagnosis(sessionId)).toMatchObject({ diagnosis: booting });
  await controller.dispose();

  const network = createFakeNetwork("127.19.5.1", 29);
  const { promise: joining, resolve: reached } = Promise.withResolvers<void>();
  const { promise: held, resolve: goOn } = Promise.withResolvers<void>();
  const joinNow = network.join.bind(network);
  network.join = async (nic) => {
    reached();
    await held;
    await joinNow(nic);
  };
  controller = await startController({ network, config: { network: { cidr: "127.19.5.1/29" } } });
  const prepared = await controller.client.start({ provider: "oidc" });
  await joining;
  const seen = await controller.client.diagnosis(prepared.sessionId);
  goOn();
  expect(seen).toMatchObject({ diagnosis: booting, facts: { host: { tap: "waiting", vmm: { machine: "paused" } } } });
  expect(seen.diagnosis?.cause.evidence.join("\n")).toContain("waits in a network namespace of its own");
  await until(prepared.sessionId, "ready");
});

test("a guest whose kernel panics is not waited for, and its session keeps the verdict", async () => {
  const sessionId = await start({
    agent: "silent",
    console: "[    9.1] Kernel panic - not syncing: Fatal exception in interrupt\n",
  });
  const { verdict } = await until(sessionId, "failed");
  expect(verdict).toMatchObject({ code: "kernel-panic", stage: "agent", anchor: "docs/verdicts.md#kernel-panic" });
  expect(verdict?.ruledOut).toContain("the firewall lets this guest pass");
  const { exitCode, output } = await cli("diagnose", sessionId);
  expect(exitCode).toBe(8);
  expect(output).toContain("console: Kernel panic - not syncing: Fatal exception in interrupt");
});

test("a VMM that ends with a code of its own is named by what its backend says that this means", async () => {
  const sessionId = await start({ endsAfterMs: 500, exitCode: 148 });
  const { verdict } = await until(sessionId, "failed");
  expect(verdict).toMatchObject({ code: "vmm-call-refused", anchor: "docs/verdicts.md#vmm-call-refused" });
  expect(verdict?.evidence).toContainEqual(
    expect.stringMatching(/^host: process \d+ is gone: it ended with code 148$/),
  );
});

test.each([
  [148, "vmm-call-refused", "a system call that its filter forbids"],
  [153, "vmm-failed", "did not take the configuration"],
  [12, "host-out-of-memory", "The host ran out of memory"],
  // No guest ran that could have restarted.
  [0, "vmm-died", "The VMM ended with code 0: fake-vmm: could not open the rootfs"],
])("a VMM that ends with code %i before it answers is named by what that means: %s", async (exitCode, code, words) => {
  const sessionId = await start({ vmm: "dies-at-start", exitCode });
  const { verdict } = await until(sessionId, "failed");
  expect(verdict).toMatchObject({ code, stage: "vmm-up", sentence: expect.stringContaining(words) });
});

test("a VMM that wants more memory than its control group has is named so, and what it was granted", async ({
  skip,
}) => {
  if (!(await lookAtHierarchy()).controllers.includes("memory")) skip("no control group limits memory here");
  const sessionId = await start({});
  const { vmId } = await until(sessionId, "ready");
  const [vm] = await controller.client.vms();
  const path = await cgroupOfProcess(vm?.pid ?? 0);
  expect(path).toBe(controller.paths.vm(vmId ?? "").cgroup);
  // Less than it has already.
  await writeFile(`/sys/fs/cgroup${path}/memory.max`, String(8 * 1024 * 1024));
  const { verdict } = await until(sessionId, "failed");
  expect(verdict).toMatchObject({ code: "vmm-out-of-memory", sentence: expect.stringContaining("(8 MiB)") });
  expect(verdict?.consequences).toEqual([]);
});

test("a guest that floods its channel is named and ended while its stage still had time, and another is none the worse", async () => {
  const behaviours: FakeVmmBehaviour[] = [{ agent: "floods" }, {}];
  controller = await startController({ behaviour: () => behaviours.shift() ?? {} });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const { stages } of controller.client.events(sessionId)) if (stages.some(isVmmUp)) break;
  const other = await controller.client.start({ provider: "oidc" });
  await until(other.sessionId, "ready");
  const { verdict } = await until(sessionId, "failed");
  expect(verdict).toMatchObject({ code: "guest-floods", stage: "agent", anchor: "docs/verdicts.md#guest-floods" });
  expect(verdict?.evidence[0]).toMatch(/^host: \d{7,} bytes came over the channel/);
  const { diagnosis } = await controller.client.diagnosis(other.sessionId);
  expect(diagnosis?.cause.code).toBe("nothing-wrong");
});

test("a guest taken off the firewall's set while it runs is named on demand, and the session goes on", async () => {
  const sessionId = await start({});
  await until(sessionId, "ready");
  controller.network.host.admitted.clear();
  const { diagnosis } = await controller.client.diagnosis(sessionId);
  expect(diagnosis).toMatchObject({ isProblem: true, cause: { code: "firewall-drops-guest" } });
  expect((await controller.client.session(sessionId)).state).toBe("ready");
});

test("what keeps a guest from going on is named while its deadline still runs, and no longer than it does", async () => {
  const crashes = "[  OK  ] Started sallyport-agent.service - Sallyport guest agent.\n".repeat(3);
  const sessionId = await start({ console: crashes, agentDelayMs: 14_000 });
  const warnings: (string | null)[] = [];
  for await (const { state, warning, verdict } of controller.client.events(sessionId)) {
    if (warning && warnings.length === 0) {
      expect({ state, verdict }).toEqual({ state: "starting", verdict: null });
      const shown = (await cli("show", sessionId)).output;
      expect(shown).toContain("agent-crashes: The guest's agent crashes");
      expect(shown).toMatch(/^runs on +fake by emulation\nwhy +It is a fake\.$/m);
      expect((await cli("ls")).output).toContain("starting: agent-crashes");
    }
    if ((warning?.code ?? null) !== (warnings.at(-1) ?? null)) warnings.push(warning?.code ?? null);
    if (state === "ready") break;
  }
  expect(warnings).toEqual(["agent-crashes", null]);
});

test("a controller that starts again while the network cannot be set up lets a guest that lives go on", async () => {
  const sessionId = await start({});
  await until(sessionId, "ready");
  const prepare = controller.network.prepare.bind(controller.network);
  controller.network.prepare = () => Promise.reject(new AppError("timeout", "command-timeout", "nft did not finish."));
  controller = await controller.restart();
  await poll(async () => /network could not be set up again yet/.test(controller.log()) || undefined, {
    what: "the log's word of it",
    timeoutMs: 10_000,
    intervalMs: 50,
  });
  expect(await controller.client.session(sessionId)).toMatchObject({ state: "ready", verdict: null });
  controller.network.prepare = prepare;
});

test("a controller that ended before it recorded the VMM's start leaves no session that waits for it for ever", async () => {
  const sessionId = await start({ agentDelayMs: 6000 });
  await until(sessionId, "starting");
  const isUp = async () => isPassed((await controller.client.session(sessionId)).stages, "vmm-up") || undefined;
  await poll(isUp, { what: "the VMM", timeoutMs: 10_000, intervalMs: 50 });
  const { dataDir, network } = await controller.abandon();
  const db = new DatabaseSync(join(dataDir, "sallyport.db"));
  const { stages } = db.prepare("SELECT stages FROM sessions WHERE id = ?").get(sessionId) as { stages: string };
  const [leased, vmmUp] = JSON.parse(stages) as StageRecord[];
  const before = JSON.stringify([leased, { ...vmmUp, endedAt: null }]);
  db.prepare("UPDATE sessions SET stages = ? WHERE id = ?").run(before, sessionId);
  db.close();
  controller = await startController({ dataDir, network });
  const { stages: passed } = await until(sessionId, "ready");
  expect(passed.map(({ stage }) => stage)).toEqual([...BOOT_STAGES]);
});
