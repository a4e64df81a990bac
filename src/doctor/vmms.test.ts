import { expect, test } from "vitest";
import type { VmmBackend } from "../vmm/vmm.ts";
import { runCheck } from "./check.ts";
import type { Host } from "./host.ts";
import { AppError } from "../lib/errors.ts";
import { vmm, vmmChecks } from "./vmms.ts";

const fine: VmmBackend["checks"] = [{ name: "fine", look: async () => ({ result: "ok", text: "Fine 1.0." }) }];
const bad: VmmBackend["checks"] = [
  { name: "bad", look: async () => ({ result: "problem", text: "It is too old.", remedy: "update it" }) },
  {
    name: "gone",
    look: () => Promise.reject(new AppError("unavailable", "vmm-missing", "It is not there.", { hint: "Install it." })),
  },
];
const first = { name: "first", checks: bad } as unknown as VmmBackend;
const second = { name: "second", checks: fine } as unknown as VmmBackend;

const linesOf = async (inUse: VmmBackend) => {
  const host = { isRoot: true, backends: [first, second], backend: async () => inUse } as unknown as Host;
  return (await Promise.all(vmmChecks(host).map((check) => runCheck(check, host)))).flat();
};

test("what is wrong with the VMM that runs new microVMs is a problem, with another's it is a note", async () => {
  const said = { name: "bad", remedy: "update it" };
  expect(await linesOf(first)).toEqual([
    { ...said, result: "problem", text: "It is too old." },
    { name: "gone", result: "problem", text: "It is not there.", remedy: "Install it." },
    { name: "fine", result: "ok", text: "Fine 1.0." },
  ]);
  expect(await linesOf(second)).toEqual([
    { ...said, result: "ok", text: "Not used. It is too old." },
    { name: "gone", result: "ok", text: "Not used. It is not there.", remedy: "Install it." },
    { name: "fine", result: "ok", text: "Fine 1.0." },
  ]);
});

test("what a VMM's check found is said also while nobody can say which VMM is used", async () => {
  const backend = () => new Promise<VmmBackend>(() => {});
  const host = { isRoot: true, backends: [first, second], backend } as unknown as Host;
  const lines = await Promise.all(vmmChecks(host, 20).map((check) => runCheck(check, host)));
  expect(lines.flat()).toMatchObject([
    { name: "bad", result: "problem", text: "It is too old." },
    { name: "gone", result: "problem", text: "It is not there." },
    { name: "fine", result: "ok" },
  ]);
});

test.each([
  ["auto", "kvm", "ok"],
  ["auto", "emulation", "warning"],
  ["emulation", "emulation", "ok"],
])("vm.accel %s, and guests run by %s: %s", async (configured, accel, result) => {
  const choice = async () => ({ backend: second, accel, why: "Second 2.0." });
  const host = { isRoot: true, config: { vm: { accel: configured } }, choice } as unknown as Host;
  expect(await runCheck(vmm, host)).toMatchObject([{ result, text: expect.stringContaining("Second 2.0.") }]);
});
