/**
 * What must be seen "when it works", on one real guest that also lives through a `kill -9` of its controller. Points 8 and 9 (the browser
 * through noVNC, the result at the tool) are test/e2e/oidc.test.ts.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { StartResponse } from "../../src/contract/api.ts";
import { BOOT_STAGES } from "../../src/contract/session.ts";
import { processesOf } from "../../src/lib/process.ts";
import { resolverUid, vmmUids } from "../../src/lib/user-range.ts";
import { ownUidBase } from "../../rig/user-range.ts";
import { cgroupsIn } from "../../src/vmm/cgroup.ts";
import { createBootHost, untilState, type BootHost } from "./host.ts";
import { seePoints, testPoints, type Seen } from "./points.ts";

let host: BootHost;
let started: StartResponse;
let seen: Seen;
let stagesBeforeCrash: string[];

beforeAll(async () => {
  host = await createBootHost("works", inject("imageDataDir"));
  started = await host.client.start({ provider: "claude_code", userId: "ada" });
  const { sessionId } = started;
  for await (const view of host.client.events(sessionId)) {
    stagesBeforeCrash = view.stages.map(({ stage }) => stage);
    if (stagesBeforeCrash.includes("kernel")) break;
  }
  process.kill(host.controller.pid, "SIGKILL");
  await host.controller.ended;
  await host.startController();
  await untilState(host.client, sessionId, "ready");
  const logFile = join(inject("imageDataDir"), "boot-data", "works.log");
  seen = await seePoints({ ...host, sessionId, logFile });
}, 8 * 60_000);
afterAll(() => host?.destroy());

describe("when it works", () => {
  test("0. the session went on through a kill -9 of the controller in the middle of the boot", async () => {
    expect(stagesBeforeCrash).not.toContain("agent");
    const view = await host.client.session(started.sessionId);
    expect(view).toMatchObject({ state: "ready", verdict: null, browserIP: started.browserIP });
    expect(view.stages.map(({ stage }) => stage)).toEqual(BOOT_STAGES);
  });

  testPoints(() => seen);

  test("after destroy --all nothing is left: no process, TAP, lease, directory, firewall rule, bridge", async () => {
    const range = vmmUids(ownUidBase(host.paths.root));
    const processes = () => processesOf((uid) => uid >= range[0] && uid <= resolverUid(range));
    // The VMM and the resolver.
    expect((await processes()).length).toBeGreaterThanOrEqual(2);
    const { exitCode, output } = await host.sallyport("destroy", "--all");
    expect(exitCode, output).toBe(0);
    expect(await processes()).toEqual([]);
    expect(await cgroupsIn(host.paths.cgroup)).toEqual([]);
    expect(await host.ask("ip", "-brief", "link")).not.toMatch(/sp-|br0/);
    expect((await host.ask("nft", "list", "ruleset")).trim()).toBe("");
    expect(await host.client.vms()).toEqual([]);
    expect(await host.ask("ls", host.paths.vms)).toBe("");
    expect((await host.client.reap({ dryRun: true })).found).toEqual([]);
  });
});
