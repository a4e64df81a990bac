import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { createFakeNetwork } from "../../test/fixtures/fake-network.ts";
import { identify } from "../lib/process.ts";
import { collectFacts } from "./facts.ts";

test("what could not be learned is told in a line each, whoever chose its words", async () => {
  const { missing } = await collectFacts({
    stage: null,
    isOverdue: false,
    guestTimeoutMs: 100,
    nic: { tap: "sp-aaaaaaaaaaaa", mac: "06:00:c0:a8:64:05", address: "192.168.100.5", uid: 65_534 },
    process: (await identify(process.pid)) ?? null,
    network: createFakeNetwork("192.168.100.1", 24),
    channel: undefined,
    machine: async () => {
      throw new Error(`own\u001b[2J words\r\nof a VMM, see https://a/?code=1 ${"x".repeat(10_000)}`);
    },
    consoleFile: "/nonexistent/console.log",
    vmmLog: "/nonexistent/vmm.log",
    cgroup: "/sallyport-test/none",
    exitCodes: {},
    dataDir: tmpdir(),
    probes: { health: async () => undefined, rfb: async () => undefined },
    holderOf: async () => undefined,
    vmId: "aaaaaaaaaaaa",
  });
  const [line = ""] = missing.filter((text) => text.startsWith("the VMM's own word: "));
  expect(line).toContain("own words of a VMM, see https://a/?[cut] xxx");
  expect(line.length).toBeLessThan(400);
});
