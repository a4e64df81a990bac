/** What every `Network` must do; run against the one of Linux and the tests' fake, so that the fake can't drift. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GuestNic } from "../../src/network/guest-nic.ts";
import type { FoundThing, Network } from "../../src/network/network.ts";

export interface NetworkUnderTest {
  network: Network;
  /** Another process's network on the same host, as after a crash. */
  restart(): Promise<Network>;
  /** A VMM opens the guest's TAP where it is prepared. */
  open(nic: GuestNic): Promise<void>;
  /** Somebody else takes the guest's TAP off the bridge, and its entries out of the firewall and the neighbour table. */
  meddle(nic: GuestNic): Promise<void>;
  dispose(): Promise<void>;
}

const nicOf = (last: number): GuestNic => ({
  tap: `sp-${String(last).repeat(12)}`,
  mac: `06:00:c0:a8:64:0${last}`,
  address: `192.168.100.${last}`,
  uid: 65_534,
});
const [one, two] = [nicOf(5), nicOf(6)];
const NONE = { tap: false, netns: false, firewall: false, neighbour: false };
/** The TAP is in its namespace. */
const PREPARED = { tap: false, netns: true, firewall: true, neighbour: true };
const WHOLE = { tap: true, netns: false, firewall: true, neighbour: true };

export const networkConformance = (name: string, prepare: () => Promise<NetworkUnderTest>): void => {
  describe(`network ${name}`, () => {
    let under: NetworkUnderTest;
    let network: Network;

    beforeAll(async () => {
      under = await prepare();
      ({ network } = under);
    });
    afterAll(() => under.dispose());

    const entriesOf = ({ address, mac }: GuestNic): FoundThing[] => [
      { kind: "firewall", ref: address },
      { kind: "neighbour", ref: mac },
    ];
    const thingsOf = (nic: GuestNic): FoundThing[] => [
      { kind: "tap", ref: nic.tap, vmId: nic.tap.slice(3) },
      ...entriesOf(nic),
    ];
    const preparedThingsOf = (nic: GuestNic): FoundThing[] => [
      { kind: "netns", ref: network.namespaceOf(nic).name, vmId: nic.tap.slice(3) },
      ...entriesOf(nic),
    ];
    const found = async (by = network): Promise<FoundThing[]> =>
      (await by.found()).toSorted((a, b) => `${a.kind} ${a.ref}`.localeCompare(`${b.kind} ${b.ref}`));
    const sorted = (things: FoundThing[]): FoundThing[] =>
      things.toSorted((a, b) => `${a.kind} ${a.ref}`.localeCompare(`${b.kind} ${b.ref}`));
    const foundOf = (...nics: GuestNic[]): FoundThing[] => sorted(nics.flatMap(thingsOf));
    const seen = async (nic: GuestNic) => {
      const { tap, neighbour, firewall } = network.view(nic);
      const [found, fixed, rules] = [await tap(), await neighbour(), await firewall()];
      const port = found === "waiting" ? undefined : found;
      return {
        isWaiting: found === "waiting",
        bridge: port?.bridge,
        isUp: port?.isUp,
        isIsolated: port?.isIsolated,
        hasForwardingEntry: port?.hasForwardingEntry,
        mac: fixed?.mac,
        isAdmitted: rules?.isAdmitted,
      };
    };
    const prepared = ({ mac }: GuestNic) => ({
      isWaiting: true,
      bridge: undefined,
      isUp: undefined,
      isIsolated: undefined,
      hasForwardingEntry: undefined,
      mac,
      isAdmitted: true,
    });
    const joined = ({ mac }: GuestNic) => ({
      isWaiting: false,
      bridge: network.bridge,
      isUp: true,
      isIsolated: true,
      hasForwardingEntry: true,
      mac,
      isAdmitted: true,
    });

    test("nothing is there before the host is made", async () => {
      expect(await found()).toEqual([]);
      expect(await network.presence(one)).toEqual(NONE);
      const { tap, bridge, neighbour, firewall } = network.view(one);
      expect([await tap(), await bridge(), await neighbour(), await firewall()]).toEqual([null, null, null, null]);
      await network.remove(one);
      expect(await found()).toEqual([]);
    });

    test("the host is made by the first guest, and made again changes nothing", async () => {
      await network.prepare(one);
      await network.remove(one);
      await network.ensureHost();
      const { bridge, firewall, isForwarding, isResolving } = network.view(one);
      expect(await bridge()).toEqual({ isUp: true, addresses: [`${network.gateway}/${network.prefixLength}`] });
      expect(await firewall()).toMatchObject({ isAdmitted: false });
      expect([await isForwarding(), await isResolving()]).toEqual([true, true]);
    });

    test("a guest that is prepared has everything, but its TAP is where nothing of the host is, whatever is mended", async () => {
      await network.prepare(one);
      await network.prepare(one);
      await network.ensure();
      expect(await network.presence(one)).toEqual(PREPARED);
      expect(await seen(one)).toEqual(prepared(one));
      expect(await found()).toEqual(sorted(preparedThingsOf(one)));
    });

    test("one that joined is on it, and joins again", async () => {
      await network.join(one);
      await network.join(one);
      await network.prepare(one);
      expect(await seen(one)).toEqual(joined(one));
      expect(await network.presence(one)).toEqual(WHOLE);
      expect(await found()).toEqual(foundOf(one));
    });

    test("a guest may join with another MAC than it was prepared with: only that one is let pass", async () => {
      const clone = { ...two, mac: "06:00:00:00:00:0c" };
      await network.prepare(two);
      await network.join(clone);
      expect(await seen(clone)).toEqual(joined(clone));
      expect(await seen(two)).toMatchObject({ isAdmitted: false, hasForwardingEntry: false, mac: clone.mac });
      expect(await found()).toEqual(foundOf(one, clone));
      expect(await network.presence(two), "by its address, whatever its MAC").toEqual(WHOLE);
      await network.remove(two);
      expect(await network.presence(clone)).toEqual(NONE);
      expect(await found()).toEqual(foundOf(one));
    });

    test("what somebody else took away is mended, for those that joined and those that did not", async () => {
      await network.prepare(two);
      for (const nic of [one, two]) await under.meddle(nic);
      expect(await network.presence(one)).toEqual({ ...NONE, tap: true });
      expect(await seen(one)).toMatchObject({ bridge: null, isAdmitted: false });
      await network.ensure();
      expect(await seen(one)).toEqual(joined(one));
      expect(await seen(two)).toEqual(prepared(two));
    });

    test("a guest's things are not removed as found ones while it is served", async () => {
      for (const thing of [...thingsOf(one), ...preparedThingsOf(two)]) {
        await expect(network.removeFound(thing), thing.kind).rejects.toMatchObject({ code: "guest-in-use" });
      }
      await expect(network.teardown()).rejects.toMatchObject({ code: "guests-left" });
      expect(await seen(one)).toEqual(joined(one));
    });

    test("removal leaves nothing, may be repeated, and touches no other guest", async () => {
      await network.remove(two);
      await network.remove(two);
      expect(await network.presence(two)).toEqual(NONE);
      expect(await found()).toEqual(foundOf(one));
      expect(await seen(one)).toEqual(joined(one));
    });

    test("a guest that waits while its controller is started anew keeps its TAP, which its VMM has open", async () => {
      await network.prepare(two);
      await under.open(two);
      const later = await under.restart();
      await later.ensureHost();
      await later.prepare(two);
      await later.prepare(two);
      expect(await later.presence(two)).toEqual(PREPARED);
      expect(await later.view(two).tap()).toBe("waiting");
      await later.join(two);
      expect(await later.presence(two)).toEqual(WHOLE);
      expect(await later.view(two).tap()).toMatchObject({ bridge: network.bridge, hasCarrier: true });
      for (const one of [later, network]) await one.remove(two);
    });

    test("another controller's process finds what was left, by kind, and removes it", async () => {
      await network.prepare(two);
      const later = await under.restart();
      await later.ensureHost();
      expect(await found(later)).toEqual(sorted([...thingsOf(one), ...preparedThingsOf(two)]));
      for (const thing of preparedThingsOf(two)) {
        await later.removeFound(thing);
        await later.removeFound(thing);
      }
      expect(await later.presence(two)).toEqual(NONE);
      expect(await found(later)).toEqual(foundOf(one));
      await later.prepare(one);
      await later.join(one);
      expect(await seen(one)).toEqual(joined(one));
      await later.remove(one);
      await later.teardown();
      await later.teardown();
      expect(await found(later)).toEqual([]);
    });
  });
};
