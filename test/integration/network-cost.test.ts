/** What a start and the mending of many guests cost in programs, and that guests don't wait for each other. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../../src/lib/cleanup.ts";
import type { GuestNic } from "../../src/network/guest-nic.ts";
import { macOf } from "../../src/lib/ipv4.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { poll } from "../../src/lib/wait.ts";
import { createNamespace, type Namespace } from "../fixtures/namespace.ts";
import { attach, BRIDGE, endResolver, look, startNetwork, TABLE } from "../fixtures/network-world.ts";
import type { RemoteNetwork } from "../fixtures/network-world.ts";

const nicOf = (last: number): GuestNic => {
  const address = `192.168.100.${last}`;
  return { tap: `sp-${String(last).padStart(12, "0")}`, mac: macOf(address), address, uid: 65_534 };
};
const guests = Array.from({ length: 20 }, (_, i) => nicOf(10 + i));
const [first, second] = [nicOf(10), nicOf(11)];
const late = nicOf(50);

const cleanup = new Cleanup();
let directory: string;
let host: Namespace;
let network: RemoteNetwork;

/** Holds every `nft` that is told of this guest for as long as the file is there, ten seconds at most. */
const HELD = late.address;
const holding = (): string => join(directory, "hold");
/** There as soon as one is held. */
const held = (): string => join(directory, "held");

/** While it is there, the next `ip` is disturbed in its listing by others' changes: it finds nothing, and says so. */
const disturbed = (): string => join(directory, "disturbed");

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-cost-"));
  cleanup.push("directory", () => rm(directory, { recursive: true }));
  const ip = `#!/bin/sh
PATH=\${PATH#*:}
[ -e ${disturbed()} ] || exec ip "$@"
rm ${disturbed()}
echo "Dump was interrupted and may be inconsistent." >&2
case "$*" in *-j*) echo "[]";; *) exec ip "$@";; esac
`;
  await writeFile(join(directory, "ip"), ip, { mode: 0o755 });
  host = await createNamespace("cost");
  cleanup.push("host", () => host.remove());
  const nft = `#!/bin/sh
input=$(cat)
case "$input" in *${HELD}*) : >${held()}; for i in $(seq 90); do [ -e ${holding()} ] || break; sleep 0.1; done;; esac
printf '%s\\n' "$input" | PATH=\${PATH#*:} exec nft "$@"
`;
  await writeFile(join(directory, "nft"), nft, { mode: 0o755 });
  network = await startNetwork(host, { resolver: { directory, upstream: [] }, path: directory });
  cleanup.push("resolver", () => endResolver(directory));
  await network.ensureHost();
  for (const nic of guests) await attach(network, nic);
  await network.programs();
});
afterAll(() => cleanup.run());

/** Programs by name, as often as each was run. */
const cost = async (work: () => Promise<unknown>): Promise<Record<string, number>> => {
  await network.programs();
  await work();
  const ran = await network.programs();
  return Object.fromEntries([...new Set(ran)].map((name) => [name, ran.filter((one) => one === name).length]));
};

const isWhole = async (nic: GuestNic): Promise<boolean> => {
  const { tap, firewall, neighbour } = await look(network, nic);
  return (
    !!tap &&
    tap !== "waiting" &&
    tap.isUp &&
    tap.isIsolated &&
    tap.hasForwardingEntry &&
    !!firewall?.isAdmitted &&
    neighbour?.mac === nic.mac
  );
};

test("a start beside twenty guests takes eight programs, its end two", async () => {
  const start = await cost(() => attach(network, late));
  expect(start).toEqual({ ip: 6, nft: 1, bridge: 1 });
  expect(await isWhole(late)).toBe(true);
  expect(await cost(() => network.remove(late))).toEqual({ ip: 1, nft: 1 });
});

test("twenty guests are looked after with three programs, and mended with five", async () => {
  expect(await cost(() => network.ensure())).toEqual({ ip: 1, bridge: 1, nft: 1 });
  for (const { tap } of guests) await host.ip(`link set dev ${tap} nomaster`);
  await host.ip(`neigh flush dev ${BRIDGE} nud permanent`);
  await host.run("nft", ["flush", "set", "inet", TABLE, "guests"]);
  expect(await cost(() => network.ensure())).toEqual({ ip: 2, bridge: 2, nft: 1 });
  for (const nic of guests) expect(await isWhole(nic), nic.tap).toBe(true);
});

test("a guest that cannot be mended keeps no other from it", async () => {
  for (const { tap } of [first, second]) await host.ip(`link set dev ${tap} nomaster`);
  // Whoever has this on it can be no bridge's port.
  await host.ip(`link add link ${first.tap} name mv0 type macvlan`);
  await expect(network.ensure()).rejects.toMatchObject({ code: "command-failed" });
  expect((await look(network, first)).tap).toMatchObject({ bridge: null });
  expect(await isWhole(second)).toBe(true);
  await host.ip("link delete dev mv0");
  await network.ensure();
  expect(await isWhole(first)).toBe(true);
});

test("a guest whose nft hangs holds up no other guest's start and end", async () => {
  await writeFile(holding(), "");
  await rm(held(), { force: true });
  let isDone = false;
  const hanging = attach(network, late).then(() => (isDone = true));
  // Who comes at the same moment is looked after by the same program.
  await poll(() => unlessMissing(stat(held()), undefined), { what: "its nft", timeoutMs: 10_000, intervalMs: 10 });
  const other = nicOf(51);
  await attach(network, other);
  expect(await isWhole(other)).toBe(true);
  await network.remove(other);
  expect(isDone).toBe(false);
  await rm(holding());
  await hanging;
  expect(await isWhole(late)).toBe(true);
});

test("hosts asked for at once are made once, and for the last who asks once more", async () => {
  const asked = await cost(() => Promise.all(Array.from({ length: 8 }, () => network.ensureHost())));
  expect(asked["nft"]).toBeLessThanOrEqual(2);
});

test("links that come and go while they are listed hide no other, and keep nothing from its end", async () => {
  const passing = nicOf(52);
  await attach(network, passing);
  await writeFile(disturbed(), "");
  expect((await network.presence(passing)).tap).toBe(true);
  await writeFile(disturbed(), "");
  await network.remove(passing);
  expect(await network.presence(passing)).toMatchObject({ tap: false, neighbour: false });
});
