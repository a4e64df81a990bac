import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { AppError } from "../../src/lib/errors.ts";
import { poll } from "../../src/lib/wait.ts";
import { handOver } from "../../src/vmm/folder.ts";
import { exitIn, startAnswering } from "../../src/vmm/process.ts";
import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { createSuite, hooks, type VmmUnderTest } from "../conformance/vmm-suite.ts";
import { vmmConformance } from "../conformance/vmm.ts";

const fake = async (): Promise<VmmUnderTest> => ({
  backend: createFakeBackend({
    behaviour: ({ image }) => ({
      hasNoAddress: true,
      ...(image.rootfs === "/missing" ? { vmm: "dies-at-start" as const } : {}),
    }),
  }),
  image: { vmlinux: "/fake", initrd: "/fake", rootfs: "/fake" },
  uidBase: 1_000_000_000 + (process.pid % 1_000_000) * 200,
  makeTap: async () => "/proc/self/ns/net",
  removeTap: async () => {},
  broken: (spec) => ({ ...spec, image: { ...spec.image, rootfs: "/missing" } }),
  saysBroken: /could not open/i,
});

vmmConformance("fake", fake);

describe("a start is ended at once, whatever its backend overhears", () => {
  const { newSpec, handle } = createSuite(fake);

  test.each(["hasAnswered", "letRun"])("in %s", async (deaf) => {
    const stop = new AbortController();
    const spec = await newSpec();
    await handOver(spec, hooks());
    const step = async (name: string): Promise<void> => {
      if (name !== deaf) return;
      setImmediate(() => stop.abort(new Error("enough")));
      await new Promise(() => {});
    };
    const command = { argv: ["sleep", "600"], memoryMib: 64 };
    const watched = { ...hooks(), signal: stop.signal };
    const started = startAnswering(
      spec,
      command,
      () => step("hasAnswered"),
      watched,
      () => step("letRun"),
    );
    await expect(started).rejects.toThrow("enough");
    expect(await handle({ ...spec, process: null }).processes()).toEqual([]);
  });
});

describe("how a VMM ended is judged by its jail", () => {
  const { newSpec } = createSuite(fake);

  test.each([
    ["with what was said before it answered", false, "The VMM said no and ended with 3: no"],
    ["without what a guest may have said since", true, "The VMM said nothing and ended with 3: no"],
  ])("%s", async (_, hasAnswered, message) => {
    const spec = await newSpec();
    await handOver(spec, hooks());
    const command = {
      argv: ["sh", "-c", `sleep ${hasAnswered ? 2 : 0.1}; echo no >&2; exit 3`],
      memoryMib: 64,
      endOf: (code: number, said: string) => `said ${said.trim() || "nothing"} and ended with ${code}`,
    };
    const never = () => new Promise<void>(() => {});
    const started = startAnswering(spec, command, hasAnswered ? async () => {} : never, hooks(), never);
    await expect(started).rejects.toMatchObject({ code: "vmm-died", message });
  });
});

describe("a start whose VMM is not heard of any more", () => {
  const { newSpec } = createSuite(fake);
  const lost = new AppError("unavailable", "vmm-hung-up", "The VMM hung up.");

  test.each([
    [
      "ended by itself, says so, also when its parent tells of it later",
      "echo up >&2; sleep 0.1; exit 148",
      "vmm-died",
    ],
    ["lives, is ended, and says what was noticed", "echo up >&2; exec sleep 600", "vmm-hung-up"],
  ])("%s", async (_, script, code) => {
    const spec = await newSpec();
    await handOver(spec, hooks());
    const command = { argv: ["sh", "-c", script], memoryMib: 64 };
    const isUp = async () => (await readFile(spec.paths.vmmLog, "utf8")).includes("up") || undefined;
    const untilLost = async (): Promise<never> => {
      await poll(isUp, { what: "its first word", timeoutMs: 20_000, intervalMs: 10 });
      throw lost;
    };
    const started = startAnswering(spec, command, untilLost, hooks(), async () => {});
    await expect(started).rejects.toMatchObject({ code });
    const log = await readFile(spec.paths.vmmLog, "utf8");
    if (code === "vmm-died") expect(exitIn(log)).toBe("ended with code 148");
  });
});
