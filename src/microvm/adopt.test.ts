import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import { vmPaths } from "../lib/paths.ts";
import { identify, type ProcessIdentity } from "../lib/process.ts";
import type { StageRecord } from "../contract/session.ts";
import { adoptMicrovm } from "./adopt.ts";
import type { MachineStatus } from "../vmm/vmm.ts";
import type { MicrovmDeps } from "./microvm.ts";
import type { Microvm } from "./store.ts";

/** A number that no process of this start has. */
const GONE: ProcessIdentity = { pid: process.pid, startTicks: "0" };

const STARTED: StageRecord = { stage: "vmm-up", startedAt: "then", endedAt: null, source: "fake" };

interface Former {
  hasFolder: boolean;
  stages?: StageRecord[];
  /** What its VMM answers. */
  status?: () => Promise<MachineStatus>;
  signal?: AbortSignal;
}

const adopt = async (
  vmProcess: ProcessIdentity | null,
  { hasFolder, stages = [STARTED], status = async () => "running", signal = new AbortController().signal }: Former,
) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-adopt-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const root = hasFolder ? folder : join(folder, "gone");
  const network = { prepare: async () => {}, join: async () => {} };
  const vmms = { of: () => ({ reopen: () => ({ status }) }) };
  const deps = { paths: { vm: () => vmPaths(root, "/none") }, network, vmms } as unknown as MicrovmDeps;
  const vm = { id: "abc", process: vmProcess, createdAt: "then", backend: "fake" } as Microvm;
  return adoptMicrovm(deps, vm, {
    stages,
    onStages: async () => {},
    logger: silentLogger(),
    signal,
    patienceMs: 600,
  });
};

test("a former controller's microVM whose process lives is taken over", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  expect(await adopt(own, { hasFolder: true })).toMatchObject({ process: own });
});

test("one whose machine stands still since nobody saw its start to the end was interrupted", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const adopted = adopt(own, { hasFolder: true, status: async () => "paused" });
  await expect(adopted).rejects.toMatchObject({
    verdict: { code: "interrupted", evidence: ["its VMM says of the machine: paused"] },
    isSymptom: false,
  });
});

test("one that was to be started anew since it was no good is not taken over, though it runs", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const adopted = adopt(own, { hasFolder: true, stages: [{ ...STARTED, stage: "leased", endedAt: "then" }] });
  await expect(adopted).rejects.toMatchObject({ verdict: { code: "interrupted" }, isSymptom: false });
});

test("one whose VMM is slow to answer is asked again, and lives", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  let asked = 0;
  const status = async (): Promise<MachineStatus> => {
    asked += 1;
    if (asked === 1) throw new Error("no answer within 5 s");
    return "running";
  };
  expect(await adopt(own, { hasFolder: true, status })).toMatchObject({ process: own });
  expect(asked).toBe(2);
});

test("one whose VMM never answers is given up in the end, with what it was that did not answer, for diagnosis to look behind", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const adopted = adopt(own, { hasFolder: true, status: () => Promise.reject(new Error("no answer within 5 s")) });
  await expect(adopted).rejects.toMatchObject({
    verdict: { code: "vmm-silent", evidence: [expect.stringContaining("no answer within 5 s")] },
    isSymptom: true,
  });
});

test("one whose session ends while its VMM is asked is not waited for", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const stop = new AbortController();
  const status = (): Promise<never> => {
    setImmediate(() => stop.abort(new Error("enough")));
    return new Promise(() => {});
  };
  await expect(adopt(own, { hasFolder: true, status, signal: stop.signal })).rejects.toThrow("enough");
});

test("one whose folder somebody removed while it ran is told as that, not as one that we ended", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const adopted = adopt(own, { hasFolder: false });
  await expect(adopted).rejects.toMatchObject({ verdict: { code: "folder-gone" }, isSymptom: false });
});

test.each([
  ["whose folder is gone was ended by us, not by somebody who killed it", GONE, false, "end-not-recorded"],
  ["whose process is gone ended by itself", GONE, true, "vmm-exited"],
  ["that was never started was interrupted", null, false, "interrupted"],
] as const)("one %s", async (_, vmProcess, hasFolder, code) => {
  await expect(adopt(vmProcess, { hasFolder })).rejects.toMatchObject({ verdict: { code } });
});
