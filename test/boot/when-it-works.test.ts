/**
 * What must be seen "when it works", as a numbered list, on one real guest that also lives through a `kill -9` of its
 * controller. Points 8 and 9 (the browser through noVNC, the result at the tool) are test/e2e/oidc.test.ts.
 */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openSocket } from "../../src/lib/open-stream.ts";
import { socketsOf } from "../../src/vmm/qemu/sockets.ts";
import { connectChannel } from "../../src/channel/connect.ts";
import type { StartResponse } from "../../src/contract/api.ts";
import type { GuestMachine } from "../../src/contract/diagnosis.ts";
import { plainText } from "../../src/lib/terminal.ts";
import { createBootHost, untilState, type BootHost } from "./host.ts";

let host: BootHost;
let started: StartResponse;
let console_: string;
let facts: GuestMachine;
let stagesBeforeCrash: string[];

beforeAll(async () => {
  host = await createBootHost("works", inject("imageDataDir"));
  started = await host.client.start({ provider: "claude_code", userId: "ada" });
  for await (const view of host.client.events(started.sessionId)) {
    stagesBeforeCrash = view.stages.map(({ stage }) => stage);
    if (stagesBeforeCrash.includes("kernel")) break;
  }
  process.kill(host.controller.pid, "SIGKILL");
  await host.controller.ended;
  await host.startController();
  const ready = await untilState(host.client, started.sessionId, "ready");
  console_ = plainText(await host.client.console(started.sessionId));
  // The channel takes one host at a time; a controller that is stopped politely leaves its microVMs running, too.
  await host.controller.stop();
  const channel = connectChannel({ open: openSocket(socketsOf(host.paths.vm(ready.vmId ?? "")).channel) });
  try {
    facts = await channel.call("facts", {}, { timeoutMs: 20_000 });
  } finally {
    channel.close();
  }
  await host.startController();
}, 8 * 60_000);
afterAll(() => host?.destroy());

describe("when it works", () => {
  test("0. the session went on through a kill -9 of the controller in the middle of the boot", async () => {
    expect(stagesBeforeCrash).not.toContain("agent");
    const view = await host.client.session(started.sessionId);
    expect(view).toMatchObject({ state: "ready", verdict: null, browserIP: started.browserIP });
    expect(view.stages.map(({ stage }) => stage)).toEqual([
      "leased",
      "vmm-up",
      "kernel",
      "agent",
      "addressed",
      "reachable",
      "display",
      "browser",
    ]);
  });

  test("1. the console shows the network set-up's output", () => {
    expect(console_).toMatch(
      /systemd-networkd\[\d+\]: eth0: Configuring with \/run\/systemd\/network\/70-eth0\.network/,
    );
  });

  test("2. the guest finds eth0", () => {
    expect(facts.links).toContainEqual(expect.objectContaining({ name: "eth0", driver: "virtio_net" }));
    expect(console_).toMatch(/eth0: Link UP/);
  });

  test("3. eth0 comes up", () => {
    expect(facts.links.find((link) => link.name === "eth0")?.hasCarrier).toBe(true);
    expect(console_).toMatch(/eth0: Gained carrier/);
  });

  test("4. the address is assigned, by ip= and nothing else", () => {
    const addresses = facts.addresses.filter((entry) => entry.link === "eth0");
    expect(addresses.map((entry) => entry.address)).toEqual([started.browserIP]);
    expect(facts.cmdline).toContain(`ip=${started.browserIP}::192.168.100.1:255.255.255.0::eth0:off`);
    expect(console_).not.toMatch(/IP-Config/);
  });

  test("5. the default route is added", () => {
    expect(facts.routes).toContainEqual(
      expect.objectContaining({ destination: "default", gateway: "192.168.100.1", link: "eth0" }),
    );
  });

  test("6. curl http://192.168.100.X:8080/health answers 200", async () => {
    const url = `http://${started.browserIP}:8080/health`;
    expect((await host.ask("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", url)).trim()).toBe("200");
  });

  test("7. no EHOSTUNREACH in the controller's log", async () => {
    const log = await readFile(join(inject("imageDataDir"), "boot-data", "works.log"), "utf8");
    // The controller logs what it sees instead of an answer: here, of the agent while it was not up yet.
    expect(log).toMatch(/"stage":"agent","seen":/);
    expect(log).not.toContain("EHOSTUNREACH");
  });

  test("after destroy --all nothing is left: no process, TAP, lease, directory, firewall rule, bridge", async () => {
    const namespaceOf = (pid: string) =>
      execFileSync("readlink", [`/proc/${pid}/ns/net`])
        .toString()
        .trim();
    const here = namespaceOf(String(host.controller.pid));
    const processes = () =>
      execFileSync("pgrep", ["-f", "sallyport-|dnsmasq"])
        .toString()
        .trim()
        .split("\n")
        .filter((pid) => isThere(pid) && namespaceOf(pid) === here && pid !== String(host.controller.pid));
    expect(processes().length).toBeGreaterThanOrEqual(2);
    const { exitCode, output } = await host.sallyport("destroy", "--all");
    expect(exitCode, output).toBe(0);
    expect(processes()).toEqual([]);
    expect(await host.ask("ip", "-brief", "link")).not.toMatch(/sp-|br0/);
    expect((await host.ask("nft", "list", "ruleset")).trim()).toBe("");
    expect(await host.client.vms()).toEqual([]);
    expect(await host.ask("ls", host.paths.vms)).toBe("");
    expect((await host.client.reap({ dryRun: true })).found).toEqual([]);
  });
});

const isThere = (pid: string): boolean => {
  try {
    return execFileSync("readlink", [`/proc/${pid}/ns/net`]).length > 0;
  } catch {
    return false;
  }
};
