/**
 * Two clones of one frozen machine, alive at once, on the wire and in pages. That what they send differs proves little by itself (two that
 * were not renewed may differ by what they did meanwhile): with it goes that Firefox said so, process by process.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { dataPaths } from "../../src/lib/paths.ts";
import { createQemuBackend } from "../../src/vmm/qemu/backend.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";
import { makeTrustingImage } from "../e2e/sign-in.ts";
import { createCloneWorld, TEMPLATE_MAC, type CloneWorld, type Seen } from "./clone-world.ts";

let world: CloneWorld;
let renewed: Seen[];

beforeAll(async () => {
  const cacheDir = inject("imageDataDir");
  const { image, certificates } = await makeTrustingImage(cacheDir);
  const kvm = (vmlinux: string) => probeKvm({ vmlinux, cacheFile: dataPaths(cacheDir).kvmProbe });
  const backend = createQemuBackend({ accel: "auto", kvm });
  world = await createCloneWorld({ backend, image, certificates });
  renewed = await world.clones(2);
}, 10 * 60_000);
afterAll(() => world?.destroy());

/** Names of what two clones have in common. */
const shared = ([one, other]: Seen[]): string[] =>
  Object.entries(one?.secrets ?? {}).flatMap(([name, value]) => (value === other?.secrets[name] ? [name] : []));

test("a template has no address, on a network card that nobody has set up", () => {
  expect(world.templateAddress).toBeNull();
});

describe("two clones alive at once", () => {
  test("share no secret: of the wire, of a page, of the agent's", () => {
    for (const { secrets } of renewed) {
      const names = ["random", "session", "share 29", "getRandomValues", "randomUUID", "ECDH", "the sealed box"];
      expect(Object.keys(secrets)).toEqual(expect.arrayContaining(names));
      expect(Object.values(secrets)).not.toContain("");
    }
    expect(shared(renewed)).toEqual([]);
    // Its own process, the waiting page's, and that of extensions.
    for (const { browserProcesses } of renewed) expect(browserProcesses).toBeGreaterThanOrEqual(3);
  });

  test("have each its own MAC, address, hostname and boot id, and none of the template's", () => {
    for (const { given, found } of renewed) {
      expect(found).toEqual({ mac: given.mac, addresses: [given.address], hostname: given.hostname });
      expect(found.mac).not.toBe(TEMPLATE_MAC);
    }
    expect(new Set([world.templateBootId, ...renewed.map(({ bootId }) => bootId)]).size).toBe(3);
  });

  test("know what time it is, to a second", () => {
    for (const { clock } of renewed) {
      expect(clock.guest).toBeGreaterThan(clock.before - 1000);
      expect(clock.guest).toBeLessThan(clock.after + 1000);
    }
  });
});
