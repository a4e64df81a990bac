import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createFakeNetwork } from "../../test/fixtures/fake-network.ts";
import { identify } from "../lib/process.ts";
import { collectFacts, type FactOptions } from "./facts.ts";

/** Of a microVM that nothing is found of, with this process as its VMM. */
const looked = async (): Promise<FactOptions> => ({
  stage: null,
  plan: "boot",
  isOverdue: false,
  guestTimeoutMs: 100,
  nic: { tap: "sp-aaaaaaaaaaaa", mac: "06:00:c0:a8:64:05", address: "192.168.100.5", uid: 65_534 },
  process: (await identify(process.pid)) ?? null,
  network: createFakeNetwork("192.168.100.1", 24),
  channel: undefined,
  machine: async () => "running",
  consoleFile: "/nonexistent/console.log",
  vmmLog: "/nonexistent/vmm.log",
  cgroup: "/sallyport-test/none",
  exitCodes: { 148: "call-refused" },
  dataDir: tmpdir(),
  probes: { health: async () => undefined, rfb: async () => undefined },
  holderOf: async () => undefined,
  vmId: "aaaaaaaaaaaa",
});

test("what could not be learned is told in a line each, whoever chose its words", async () => {
  const { missing } = await collectFacts({
    ...(await looked()),
    machine: async () => {
      throw new Error(`own\u001b[2J words\r\nof a VMM, see https://a/?code=1 ${"x".repeat(10_000)}`);
    },
  });
  const [line = ""] = missing.filter((text) => text.startsWith("the VMM's own word: "));
  expect(line).toContain("own words of a VMM, see https://a/?[cut] xxx");
  expect(line.length).toBeLessThan(400);
});

test("how a VMM ended is known also when its parent tells of it later, and not believed of one that lives", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sp-facts-"));
  const vmmLog = join(folder, "vmm.log");
  await writeFile(vmmLog, "its own words\n");
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  const options = { ...(await looked()), vmmLog, process: (await identify(child.pid ?? 0)) ?? null };
  const ended = once(child, "close");
  child.kill("SIGKILL");
  await ended;
  const telling = sleep(300).then(() => appendFile(vmmLog, "sallyport: the VMM ended with code 148\n"));
  const { host } = await collectFacts(options);
  await telling;
  expect(host.vmm).toMatchObject({ isAlive: false, exit: "ended with code 148", end: "call-refused" });
  const living = await collectFacts({ ...(await looked()), vmmLog });
  expect(living.host.vmm).toMatchObject({ isAlive: true, exit: null, end: null });
  await rm(folder, { recursive: true });
});
