/** What diagnosis sees of a real bridge, TAP and firewall, healthy and after each way to break them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../../src/lib/cleanup.ts";
import type { GuestNic } from "../../src/network/guest-nic.ts";
import { createNamespace, fixture, type Namespace } from "../fixtures/namespace.ts";
import {
  attach,
  BRIDGE,
  connectGuest,
  endResolver,
  dial,
  look,
  GATEWAY,
  startNetwork,
  TABLE,
} from "../fixtures/network-world.ts";
import type { FakeGuest, RemoteNetwork } from "../fixtures/network-world.ts";

const NIC: GuestNic = { tap: "sp-cccccccccccc", mac: "06:00:c0:a8:64:07", address: "192.168.100.7", uid: 65_534 };
const HEALTHY = {
  tap: { isUp: true, hasCarrier: true, bridge: BRIDGE, isIsolated: true, hasForwardingEntry: true },
  bridge: { isUp: true, addresses: [`${GATEWAY}/24`] },
  neighbour: { mac: NIC.mac, state: "PERMANENT" },
  firewall: { isAdmitted: true },
  foreignDrops: [],
  legacyTables: [],
  isForwarding: true,
  isResolving: true,
};

const cleanup = new Cleanup();
let directory: string;
let host: Namespace;
let network: RemoteNetwork;
let guest: FakeGuest;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-view-"));
  cleanup.push("directory", () => rm(directory, { recursive: true }));
  host = await createNamespace("view");
  cleanup.push("host", () => host.remove());
  network = await startNetwork(host, { resolver: { directory, upstream: [] } });
  cleanup.push("resolver", () => endResolver(directory));
  await network.ensure();
  await attach(network, NIC);
  guest = await connectGuest(host, NIC);
  cleanup.push("guest", () => guest.namespace.remove());
});
afterAll(() => cleanup.run());

const nft = (script: string) => host.run("nft", [script]);

test.each([
  ["the TAP taken off the bridge", () => host.ip(`link set dev ${NIC.tap} nomaster`), { tap: { bridge: null } }],
  ["the TAP down", () => host.ip(`link set dev ${NIC.tap} down`), { tap: { isUp: false } }],
  ["the bridge down", () => host.ip(`link set dev ${BRIDGE} down`), { bridge: { isUp: false }, neighbour: null }],
  [
    "the bridge without its address",
    () => host.ip(`address delete ${GATEWAY}/24 dev ${BRIDGE}`),
    { bridge: { isUp: true, addresses: [] } },
  ],
  [
    "the forwarding entry gone",
    () => host.run("bridge", ["fdb", "delete", NIC.mac, "dev", NIC.tap, "master"]),
    { tap: { bridge: BRIDGE, hasForwardingEntry: false } },
  ],
  [
    "the guest not admitted",
    () => nft(`delete element inet ${TABLE} guests { ${NIC.address} . ${NIC.mac} }`),
    { firewall: { isAdmitted: false } },
  ],
  ["the resolver gone", () => endResolver(directory), { isResolving: false }],
  ["the table gone", () => nft(`delete table inet ${TABLE}`), { firewall: null }],
  [
    "a drop put into our own table",
    () => nft(`insert rule inet ${TABLE} input iifname ${BRIDGE} drop`),
    { foreignDrops: [{ text: expect.stringContaining(`inet ${TABLE} input: the rule`), keepsHostOut: true }] },
  ],
  [
    "a drop in somebody else's table",
    () => nft("add table ip docker; add chain ip docker FORWARD { type filter hook forward priority 0; policy drop; }"),
    {
      foreignDrops: [
        { text: "Guests' connections to the internet: ip docker FORWARD: its policy", keepsHostOut: false },
      ],
    },
  ],
])("healthy, then %s", async (_what, broken, seen) => {
  await network.ensure();
  await attach(network, NIC);
  expect(await look(network, NIC)).toMatchObject(HEALTHY);
  await broken();
  expect(await look(network, NIC)).toMatchObject(seen);
});

/** A table of somebody else's with one chain. */
const table = (family: string, hook: string, rule: string, policy = "accept"): string =>
  `table ${family} other {\n chain it {\n type filter hook ${hook} priority 0; policy ${policy};\n ${rule}\n }\n}\n`;

const ANSWERS = "Guests' answers to this host";
const CONNECTIONS = "This host's connections to guests";
const QUERIES = "Guests' ARP queries for their gateway";
const RULE = "the rule with handle 2 of chain it";

test.each([
  ["bridge", "prerouting", `iifname "${NIC.tap}" drop`, ANSWERS, RULE],
  ["bridge", "input", `iifname "${NIC.tap}" drop`, ANSWERS, RULE],
  ["bridge", "output", `oifname "sp-*" drop`, CONNECTIONS, RULE],
  ["bridge", "postrouting", `ip daddr ${NIC.address} drop`, CONNECTIONS, RULE],
  ["bridge", "input", "ether type arp drop", QUERIES, RULE],
  ["bridge", "output", "ether type arp drop", "This host's answers to guests' ARP queries", RULE],
  ["arp", "input", `iifname "${BRIDGE}" drop`, QUERIES, RULE],
  ["arp", "output", "", "This host's answers to guests' ARP queries", "its policy"],
  ["netdev", `ingress device "${NIC.tap}"`, "drop", ANSWERS, RULE],
  ["netdev", `ingress device "${BRIDGE}"`, "", ANSWERS, "its policy"],
  ["netdev", `egress device "${NIC.tap}"`, "drop", CONNECTIONS, RULE],
  ["inet", `ingress device "${NIC.tap}"`, `ip saddr ${NIC.address} drop`, ANSWERS, RULE],
])("another table keeps the host from its guest: %s %s %s", async (family, hook, rule, what, by) => {
  await host.run("nft", ["flush", "ruleset"]);
  await network.ensure();
  await attach(network, NIC);
  expect(await look(network, NIC)).toMatchObject(HEALTHY);
  expect(await dial(host, NIC.address, 8080)).toContain(NIC.address);
  await host.run("nft", ["-f", "-"], { input: table(family, hook, rule, rule ? "accept" : "drop") });
  const expected = { text: `${what}: ${family} other it: ${by}`, keepsHostOut: true };
  expect((await look(network, NIC)).foreignDrops).toEqual([expected]);
  // It asks anew, as a guest that has just booted.
  await guest.namespace.ip("neigh flush dev eth0");
  expect(await dial(host, NIC.address, 8080)).toBe("timeout");
});

test.each([
  ["bridge", "forward", "drop"],
  ["bridge", "input", `iifname "${BRIDGE}" drop`],
  ["bridge", "input", "ether type ip6 drop"],
  ["netdev", `ingress device "lo"`, "meta l4proto tcp drop"],
  ["netdev", `ingress device "${NIC.tap}"`, "tcp dport 25 drop"],
])("another table does not: %s %s %s", async (family, hook, rule) => {
  await host.run("nft", ["flush", "ruleset"]);
  await network.ensure();
  await attach(network, NIC);
  await host.run("nft", ["-f", "-"], { input: table(family, hook, rule) });
  expect(await look(network, NIC)).toMatchObject(HEALTHY);
  expect(await dial(host, NIC.address, 8080)).toContain(NIC.address);
});

test("nothing of a microVM that never was", async () => {
  const never = { ...NIC, tap: "sp-dddddddddddd", address: "192.168.100.8" };
  expect(await look(network, never)).toMatchObject({ tap: null, neighbour: null });
});

// The last: the table stays as long as the namespace.
test("a table of iptables-legacy is named, though it is empty", async ({ skip }) => {
  const made = await host.run("perl", [fixture("legacy-table.pl"), "filter"], { okCodes: [1] });
  skip(made.exitCode === 1, "this kernel has no iptables-legacy");
  expect(await look(network, NIC)).toMatchObject({ legacyTables: ["filter"] });
});
