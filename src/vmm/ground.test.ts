import { expect, test } from "vitest";
import { hostGround, processorIn } from "./ground.ts";

const CPUINFO = `processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 17
model name	: AMD EPYC
stepping	: 1
microcode	: 0x1000065
cpu MHz		: 2596.146
flags		: fpu vme  de
bugs		: sysret_ss_attrs null_seg
power management:

processor	: 1
model name	: another
`;

test("names the first processor by what a guest sees of it, and its speed of the moment not", () => {
  const { cpu, cpuFlags } = processorIn(CPUINFO);
  expect(cpu).toBe("AMD EPYC (AuthenticAMD family 25 model 17), stepping 1, microcode 0x1000065");
  expect(cpuFlags).toMatch(/^[0-9a-f]{16}$/);
  expect(processorIn(CPUINFO.replace("2596.146", "1200.000"))).toEqual({ cpu, cpuFlags });
});

test.each([
  ["model name	: AMD EPYC", "model name	: AMD EPYC 9654"],
  ["model		: 17", "model		: 18"],
  ["stepping	: 1", "stepping	: 2"],
  ["0x1000065", "0x1000066"],
  ["fpu vme  de", "fpu vme de pse"],
])("%j is another processor than %j", (one, other) => {
  expect(processorIn(CPUINFO.replace(one, other))).not.toEqual(processorIn(CPUINFO));
});

test("whether its flags are told in another order is of no account", () => {
  expect(processorIn(CPUINFO.replace("fpu vme  de", "de fpu vme"))).toEqual(processorIn(CPUINFO));
});

test("a processor that says nothing of itself is one all the same", () => {
  expect(processorIn("").cpu).toContain("unknown");
});

test("says of this host what stays as it is while nothing changes", async () => {
  const ground = await hostGround();
  expect(Object.keys(ground)).toEqual(["cpu", "cpuFlags", "kernel"]);
  expect(ground["cpu"]).not.toContain("unknown (unknown");
  expect(await hostGround()).toEqual(ground);
});
