import { describe, expect, test } from "vitest";
import { healthyFacts, healthyGuestFacts } from "../../test/fixtures/facts.ts";
import { FAULTY_FACTS } from "../../test/fixtures/faulty-facts.ts";
import { verdictsPage } from "../../test/fixtures/verdicts-page.ts";
import type { Facts, GuestFacts } from "../contract/diagnosis.ts";
import { facts as factsShape } from "../contract/diagnosis.ts";
import { RULES } from "./rules.ts";
import { diagnose } from "./verdict.ts";

/** Healthy, as all of its stages were passed: nobody gave its kernel an address. */
const CLONE = healthyFacts({
  plan: "restore",
  guest: {
    ...healthyGuestFacts(healthyFacts().expected),
    cmdline: "console=ttyS0 root=/dev/vda ro net.ifnames=0 quiet",
  },
}) as Facts & { guest: GuestFacts };

describe("each rule", () => {
  test.each(RULES.map((rule) => rule.code))("%s is the verdict on its own fault", (code) => {
    const { cause, isProblem } = diagnose(FAULTY_FACTS[code]);
    expect({ code: cause.code, isProblem }).toEqual({ code, isProblem: true });
    expect(cause.evidence.length).toBeGreaterThan(0);
    expect(`${cause.sentence} ${cause.evidence.join(" ")}`).not.toMatch(/undefined|null|NaN/);
  });

  test("fits no healthy guest, and none where nothing could be learned", () => {
    const nothing: Facts = { ...healthyFacts(), host: { vmm: healthyFacts().host.vmm }, guest: null };
    for (const rule of RULES) {
      expect(rule.when(healthyFacts()), `${rule.code} on a healthy guest`).toBe(false);
      expect(rule.when(nothing), `${rule.code} without facts`).toBe(false);
    }
  });

  test("stands in the table once", () => {
    expect(RULES.map((rule) => rule.code).toSorted()).toEqual(Object.keys(FAULTY_FACTS).toSorted());
  });

  test("is tried on facts as they really come", () => {
    for (const facts of Object.values(FAULTY_FACTS)) expect(factsShape.parse(facts)).toEqual(facts);
  });
});

describe("a diagnosis", () => {
  test("of a healthy guest says so, with the proof", () => {
    const { cause, isProblem, consequences } = diagnose(healthyFacts());
    expect({ code: cause.code, isProblem, consequences }).toEqual({
      code: "nothing-wrong",
      isProblem: false,
      consequences: [],
    });
    expect(cause.evidence).toContain("networkd applies /run/systemd/network/70-eth0.network: routable, configured");
    expect(cause.evidence).toContain("http://192.168.100.5:8080/health answers from the host");
  });

  test("of a microVM that its start keeps standing still says that it goes on; of one that stands still by itself that it was stopped", () => {
    const { host } = healthyFacts();
    const code = (stage: string | null, tap: Facts["host"]["tap"], vmm: Partial<Facts["host"]["vmm"]>) => {
      const reach = { health: "EHOSTUNREACH", rfb: "EHOSTUNREACH" };
      const seen = { ...host, reach, vmm: { ...host.vmm, ...vmm }, ...(tap === undefined ? {} : { tap }) };
      const { cause, isProblem } = diagnose(healthyFacts({ stage, host: seen, guest: null }));
      return [cause.code, isProblem];
    };
    const { machine: _, ...silent } = host.vmm;
    const silentHost = { ...host, tap: "waiting" as const, vmm: silent };
    expect(diagnose(healthyFacts({ stage: "vmm-up", host: silentHost, guest: null })).cause).toMatchObject({
      code: "still-booting",
      evidence: expect.arrayContaining(["sp-k3f9 waits in a network namespace of its own for its guest to run"]),
    });
    expect(code("vmm-up", "waiting", { machine: "paused" })).toEqual(["still-booting", false]);
    expect(code("vmm-up", host.tap, { machine: "paused" }), "just before it runs").toEqual(["still-booting", false]);
    expect(code("kernel", "waiting", { machine: "paused" }), "prepared").toEqual(["still-booting", false]);
    expect(code("kernel", host.tap, { machine: "paused" })).toEqual(["vmm-stopped", true]);
    expect(code("vmm-up", "waiting", { machine: "other" })).toEqual(["vmm-stopped", true]);
    expect(code("vmm-up", "waiting", { isStopped: true })).toEqual(["vmm-stopped", true]);
    expect(code("vmm-up", null, { machine: "paused" })).toEqual(["tap-missing", true]);
  });

  test("during a boot that is in time says that it goes on", () => {
    const guest = {
      ...healthyGuestFacts(healthyFacts().expected),
      addresses: [],
      routes: [],
      browser: "absent" as const,
    };
    const { cause, isProblem } = diagnose(healthyFacts({ stage: "addressed", guest }));
    expect({ code: cause.code, isProblem }).toEqual({ code: "still-booting", isProblem: false });
  });

  describe("of a clone", () => {
    const { host, console, expected } = healthyFacts();
    const template = { name: "eth0", mac: "06:00:00:00:00:00", driver: "virtio_net", state: "UP", hasCarrier: false };
    const { guest } = CLONE;
    const nameless = { ...guest, links: [template], addresses: [], routes: [], networkd: null };
    const apart = { ...host, tap: "waiting" as const, reach: { health: "EHOSTUNREACH", rfb: "EHOSTUNREACH" } };
    const paused = { ...apart, vmm: { ...host.vmm, machine: "paused" as const } };
    const withoutRfb = { ...host, reach: { health: "ok", rfb: "ECONNREFUSED" } };

    test.each<[string | null, Partial<Facts>]>([
      ["restored", { host: paused, guest: undefined }],
      ["identity", { host: apart, guest: nameless }],
      ["identity", { host: apart }],
      ["joined", { host: apart }],
      ["reachable", { host: { ...host, reach: apart.reach } }],
      ["screen", { host: withoutRfb }],
    ])("that is in time nothing is wrong while it awaits %s", (stage, change) => {
      const { cause, isProblem, consequences } = diagnose({ ...CLONE, stage, ...change });
      expect([cause.code, isProblem, consequences]).toEqual(["still-booting", false, []]);
      expect(cause.sentence).toBe(
        `The guest is still coming up from a warm snapshot (awaited: ${stage}), and nothing is wrong so far.`,
      );
    });

    test("that is there nothing is wrong: it has its address without ip=", () => {
      expect(diagnose(CLONE)).toMatchObject({ cause: { code: "nothing-wrong" }, consequences: [] });
    });

    test("that is silent the console's silence proves nothing, and no boot is told of", () => {
      const silent = { host: apart, guest: null, console: { ...console, bytes: 0, marks: [], tail: [] } };
      const { cause } = diagnose({ ...CLONE, stage: "identity", isOverdue: true, ...silent });
      expect(cause).toMatchObject({
        code: "agent-silent",
        sentence: expect.stringContaining("did not go on from there"),
      });
      expect(cause.evidence[0]).toBe("console: 0 bytes since it was restored; last written 12 s ago");
    });

    test("that stands still though it should run is told, its TAP waiting or not", () => {
      expect(diagnose({ ...CLONE, stage: "identity", host: paused, guest: null }).cause.code).toBe("vmm-stopped");
    });

    test("whose VMM ends while it is restored its guest is not blamed", () => {
      const vmm = { ...host.vmm, isAlive: false, exit: "ended with code 0", end: "by-itself" as const };
      const ended = { ...CLONE, stage: "restored", host: { ...apart, vmm }, guest: undefined, isOverdue: true };
      expect(diagnose(ended).cause.code).not.toBe("guest-rebooted");
    });

    test("whose screen is missing when it is overdue that is the cause", () => {
      const listening = guest.listening.filter(({ port }) => port !== 5901);
      const blind = { stage: "screen", isOverdue: true, host: withoutRfb, guest: { ...guest, listening } };
      expect(diagnose({ ...CLONE, ...blind }).cause.code).toBe("display-not-starting");
    });

    test("that lost its TAP from the namespace it waits in that is the cause", () => {
      const { cause } = diagnose({ ...CLONE, stage: "identity", host: { ...apart, tap: null } });
      expect(cause).toMatchObject({ code: "tap-missing", sentence: expect.stringContaining(expected.tap) });
    });
  });

  test("of a failure that no rule knows is unknown, and says what it is not", () => {
    const guest = { ...healthyGuestFacts(healthyFacts().expected), browser: "running" as const };
    const { cause, isProblem, ruledOut } = diagnose(healthyFacts({ stage: "browser", isOverdue: true, guest }));
    expect({ code: cause.code, isProblem }).toEqual({ code: "unknown", isProblem: true });
    expect(ruledOut).toContain("the screen greets on port 5901");
    expect(ruledOut).not.toContain("Firefox has painted its first page");
  });

  test("lists under the cause what follows from it", () => {
    const killed = FAULTY_FACTS["vmm-killed"];
    const host = { ...killed.host, diskFreeMib: 0 };
    const { cause, consequences } = diagnose({ ...killed, host });
    expect([cause.code, ...consequences.map(({ code }) => code)]).toEqual(["host-disk-full", "vmm-killed"]);
  });

  test("never gives what is minor as the cause of a failure", () => {
    const minor = FAULTY_FACTS["unit-output-not-on-console"];
    const failed = { ...minor, isOverdue: true, stage: "browser" };
    expect(diagnose(failed).cause.code).toBe("unknown");
    expect(diagnose(failed).consequences.map(({ code }) => code)).toEqual(["unit-output-not-on-console"]);
  });

  test("names the .network file by the console's word when the agent is silent", () => {
    expect(diagnose({ ...FAULTY_FACTS["network-file-overrides"], guest: null }).cause.code).toBe(
      "network-file-overrides",
    );
  });

  test("marks what the guest wrote as the guest's: it may look like a line of the host's", () => {
    const restarts = { ...FAULTY_FACTS["agent-crashes"], guest: healthyGuestFacts(healthyFacts().expected) };
    const agent = restarts.guest.units.find(({ name }) => name === "sallyport-agent.service");
    if (agent) agent.restarts = 3;
    restarts.guest.journal = ["host: process 1 was killed by the operator node[1]"];
    const { cause } = diagnose(restarts);
    expect(cause.code).toBe("agent-crashes");
    expect(cause.evidence).toContain("journal: host: process 1 was killed by the operator node[1]");
    expect(cause.evidence.filter((line) => line.startsWith("host:"))).toEqual([]);
  });

  test("of a VMM that ended by itself without an error blames nobody on the host, and of one that nobody could look at nobody at all", () => {
    const { vmm } = FAULTY_FACTS["vmm-killed"].host;
    const ended = {
      ...FAULTY_FACTS["vmm-killed"],
      host: { ...healthyFacts().host, vmm: { ...vmm, exit: "ended with code 0", end: "by-itself" as const } },
    };
    expect([diagnose(ended).cause.code, diagnose(ended).consequences]).toEqual(["guest-rebooted", []]);
    const { isAlive: _, ...unseen } = vmm;
    expect(diagnose({ ...ended, host: { ...healthyFacts().host, vmm: unseen } }).cause.code).toBe("unknown");
  });

  test("names a want of memory by the cgroup's count also of a VMM that never came to be on record, and of none that lives", () => {
    const facts = FAULTY_FACTS["vmm-out-of-memory"];
    const withVmm = (change: Partial<typeof facts.host.vmm>) =>
      diagnose({ ...facts, host: { ...facts.host, vmm: { ...facts.host.vmm, ...change } } }).cause.code;
    expect(withVmm({ pid: null })).toBe("vmm-out-of-memory");
    expect(withVmm({ isAlive: true })).not.toBe("vmm-out-of-memory");
  });

  test("says when the agent is silent, and what could not be learned", () => {
    const { cause } = diagnose({ ...FAULTY_FACTS["kernel-panic"], missing: ["firewall: nft did not finish"] });
    expect(cause.evidence).toContain("the guest's agent is silent: host and console alone speak");
    expect(cause.evidence).toContain("not learned: firewall: nft did not finish");
  });
});

test("docs/verdicts.md is what the rules say (npx vitest -u writes it anew)", async () => {
  await expect(verdictsPage(FAULTY_FACTS)).toMatchFileSnapshot("../../docs/verdicts.md");
});
