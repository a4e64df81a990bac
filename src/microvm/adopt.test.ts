import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import { vmPaths } from "../lib/paths.ts";
import { identify, type ProcessIdentity } from "../lib/process.ts";
import { adoptMicrovm } from "./adopt.ts";
import type { MachineStatus } from "../vmm/vmm.ts";
import type { MicrovmDeps } from "./microvm.ts";
import type { Microvm } from "./store.ts";

/** A number that no process of this start has. */
const GONE: ProcessIdentity = { pid: process.pid, startTicks: "0" };

const adopt = async (
  vmProcess: ProcessIdentity | null,
  { hasFolder, status = "running" }: { hasFolder: boolean; status?: MachineStatus },
) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-adopt-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const root = hasFolder ? folder : join(folder, "gone");
  const network = { ensureHost: async () => {}, prepare: async () => {}, join: async () => {} };
  const vmms = { of: () => ({ reopen: () => ({ status: async () => status }) }) };
  const deps = { paths: { vm: () => vmPaths(root, "/none") }, network, vmms } as unknown as MicrovmDeps;
  const vm = { id: "abc", process: vmProcess, createdAt: "then", backend: "fake" } as Microvm;
  return adoptMicrovm(deps, vm, { stages: [], onStages: async () => {}, logger: silentLogger() });
};

test("a former controller's microVM whose process lives is taken over", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  expect(await adopt(own, { hasFolder: true })).toMatchObject({ process: own });
});

test("one whose machine stands still since nobody saw its start to the end was interrupted", async () => {
  const own = (await identify(process.pid)) ?? GONE;
  const adopted = adopt(own, { hasFolder: true, status: "paused" });
  await expect(adopted).rejects.toMatchObject({ verdict: { code: "interrupted" } });
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
