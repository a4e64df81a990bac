/** The Linux network with real frames: what a guest can reach, what it can't, and what is mended when somebody meddles. */
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { commandLine } from "../../src/lib/process.ts";
import { BLOCKED_RANGES } from "../../src/network/firewall-rules.ts";
import { macOf, overlaps, parseRange } from "../../src/lib/ipv4.ts";
import type { GuestNic } from "../../src/network/guest-nic.ts";
import { createNamespace, fixture, NODE } from "../fixtures/namespace.ts";
import type { Namespace } from "../fixtures/namespace.ts";
import { findResolvers } from "../../src/network/resolver.ts";
import {
  BRIDGE,
  GATEWAY,
  HOST_UPLINK,
  PRIVATE_SERVERS,
  RESOLVER_UID,
  SERVER,
  TABLE,
  UNROUTABLE,
} from "../fixtures/network-world.ts";
import { attach, connectGuest, dial, dialAs, look, lookUp, rebindingName, serve } from "../fixtures/network-world.ts";
import { endResolver, resolverPid, startInternet, startNetwork, withIpv6 } from "../fixtures/network-world.ts";
import type { FakeGuest, RemoteNetwork } from "../fixtures/network-world.ts";

const CONTROLLER_PORT = 4000;
const nicOf = (last: number, tap: string): GuestNic => ({
  tap,
  mac: `06:00:c0:a8:64:${last.toString(16).padStart(2, "0")}`,
  address: `192.168.100.${last}`,
  uid: 65_534,
});
const [nicA, nicB] = [nicOf(5, "sp-aaaaaaaaaaaa"), nicOf(6, "sp-bbbbbbbbbbbb")];

const cleanup = new Cleanup();
let directory: string;
let host: Namespace;
let internet: Namespace;
let network: RemoteNetwork;
let a: FakeGuest;
let b: FakeGuest;

const options = () => ({ resolver: { directory, upstream: [SERVER] } });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-network-"));
  cleanup.push("directory", () => rm(directory, { recursive: true }));
  host = await createNamespace("host");
  cleanup.push("host", () => host.remove());
  internet = await startInternet(host);
  cleanup.push("internet", () => internet.remove());
  await serve(host, "controller", CONTROLLER_PORT);
  network = await startNetwork(host, options());
  cleanup.push("resolver", () => endResolver(directory));
  await network.ensure();
  await attach(network, nicA);
  await attach(network, nicB);
  a = await connectGuest(host, nicA);
  cleanup.push("guest", () => a.namespace.remove());
  b = await connectGuest(host, nicB);
  cleanup.push("guest", () => b.namespace.remove());
});

afterAll(() => cleanup.run());

/** A machine for one test; it goes with the test, and the resolver of the folder of its name. */
const placeOf = async (name: string): Promise<Namespace> => {
  const place = await createNamespace(name);
  onTestFinished(async () => {
    await endResolver(join(directory, name));
    await place.remove();
  });
  return place;
};

/** By how much each counter that moved went up. */
const counted = async (work: () => Promise<unknown>): Promise<Record<string, number>> => {
  const before = (await network.counters()) ?? {};
  await work();
  const after = Object.entries((await network.counters()) ?? {});
  return Object.fromEntries(
    after
      .map(([name, n]) => [name, n - ((before as Record<string, number>)[name] ?? 0)] as const)
      .filter(([, n]) => n > 0),
  );
};

const sendFrame = (guest: FakeGuest, hex: string) =>
  guest.namespace.run("perl", [fixture("send-frame.pl"), "eth0", hex.replace(/[\s:]/g, "")]);

const tapsOf = async (of: RemoteNetwork): Promise<string[]> =>
  (await of.found()).flatMap(({ kind, ref }) => (kind === "tap" ? [ref] : [])).toSorted((x, y) => x.localeCompare(y));

/** Some kernels show bridged frames to the IP firewall as well; the bridge has to hold without that. */
const ignoreBridgedFrames = (): Promise<unknown> =>
  host.evaluate(
    `const file = "/proc/sys/net/bridge/bridge-nf-call-iptables";
     if (require("fs").existsSync(file)) require("fs").writeFileSync(file, "0");`,
  );

const hexOf = (address: string): string =>
  address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("");

const PORT: Record<string, boolean> = {
  isolated: true,
  locked: true,
  learning: false,
  flood: false,
  mcast_flood: false,
  bcast_flood: false,
};
const JOINED = { isUp: true, master: BRIDGE, options: PORT, isForwardedTo: true };

/** A guest's port as it is. */
const portOf = async ({ tap, mac }: GuestNic): Promise<unknown> => {
  const [link] = JSON.parse((await host.run("ip", ["-j", "-d", "link", "show", "dev", tap])).stdout);
  const entries: { mac: string; state: string }[] = link.master
    ? JSON.parse((await host.run("bridge", ["-j", "fdb", "show", "brport", tap])).stdout)
    : [];
  const options = Object.keys(PORT).map((name) => [name, link.linkinfo.info_slave_data?.[name]]);
  return {
    isUp: link.flags.includes("UP"),
    master: link.master,
    options: Object.fromEntries(options),
    isForwardedTo: entries.some((entry) => entry.mac === mac && entry.state === "static"),
  };
};

const forwarding = (verb: "delete" | "replace", kind: "static" | "dynamic") =>
  host.run("bridge", ["fdb", verb, nicA.mac, "dev", nicA.tap, "master", kind]);

/** Lines of what the kernel tells of links while the work is done. The first and the last are marks of our making. */
const linkEvents = async (work: () => Promise<unknown>): Promise<string[]> => {
  const monitor = host.spawn("ip", ["monitor", "link"]);
  let text = "";
  monitor.stdout.on("data", (data) => (text += data));
  const mark = async (name: string): Promise<string> => {
    await host.ip(`link set dev ${name} alias seen`);
    return text;
  };
  await expect.poll(() => mark("lo")).toContain(" lo:");
  await work();
  await expect.poll(() => mark("up0")).toContain(" up0@");
  monitor.kill("SIGKILL");
  return text.split("\n");
};

const neighbours = async (): Promise<string> => (await host.run("ip", ["neigh", "show", "dev", BRIDGE])).stdout;

describe("a guest may", () => {
  test("reach the internet, seen there as the host", async () => {
    const moved = await counted(async () =>
      expect(await dial(a.namespace, SERVER, 80)).toBe(`internet ${HOST_UPLINK}`),
    );
    expect(moved).toMatchObject({ forwarded: 1, returned: expect.any(Number) });
  });

  test("ask the host's resolver for names", async () => {
    expect(await lookUp(a.namespace, "site.example")).toEqual([SERVER]);
  });

  test("be asked by the host", async () => {
    expect(await dial(host, nicB.address, 8080)).toBe(`${nicB.address} ${GATEWAY}`);
  });
});

describe("a guest may not", () => {
  test("reach the controller, at any of the host's addresses", async () => {
    expect(await dial(host, HOST_UPLINK, CONTROLLER_PORT)).toContain("controller");
    const moved = await counted(async () => {
      const answers = await Promise.all([GATEWAY, HOST_UPLINK].map((to) => dial(a.namespace, to, CONTROLLER_PORT)));
      expect(answers).toEqual(["timeout", "timeout"]);
    });
    expect(moved["host_refused"]).toBeGreaterThanOrEqual(2);
  });

  test.each(PRIVATE_SERVERS)("reach %s, which the host reaches", async (address) => {
    expect(await dial(host, address, 80)).toContain("internet");
    const moved = await counted(async () => expect(await dial(a.namespace, address, 80)).toBe("timeout"));
    expect(moved["private_refused"]).toBeGreaterThanOrEqual(1);
  });

  test("reach another guest on the bridge, even when both know each other's MAC", async () => {
    await ignoreBridgedFrames();
    await a.namespace.ip(`neigh replace ${nicB.address} lladdr ${nicB.mac} dev eth0 nud permanent`);
    await b.namespace.ip(`neigh replace ${nicA.address} lladdr ${nicA.mac} dev eth0 nud permanent`);
    expect(await dial(a.namespace, nicB.address, 8080)).toBe("timeout");
    await a.namespace.ip(`neigh delete ${nicB.address} dev eth0`);
    await b.namespace.ip(`neigh delete ${nicA.address} dev eth0`);
  });

  test("reach another guest by way of the host", async () => {
    await a.namespace.ip(`route add ${nicB.address}/32 via ${GATEWAY}`);
    const moved = await counted(async () => expect(await dial(a.namespace, nicB.address, 8080)).toBe("timeout"));
    expect(moved["neighbour_refused"]).toBeGreaterThanOrEqual(1);
    await a.namespace.ip(`route delete ${nicB.address}/32`);
  });

  test("use an address that is not its own", async () => {
    await a.namespace.ip("address add 192.168.100.77/24 dev eth0");
    const moved = await counted(async () =>
      expect(await dial(a.namespace, SERVER, 80, "192.168.100.77")).toBe("timeout"),
    );
    expect(moved["spoofed"]).toBeGreaterThanOrEqual(1);
    await a.namespace.ip("address delete 192.168.100.77/24 dev eth0");
  });

  test("take another guest's place with its MAC and address", async () => {
    await a.namespace.ip(`link set dev eth0 address ${nicB.mac}`);
    await a.namespace.ip(`address add ${nicB.address}/24 dev eth0`);
    await a.namespace.ip(`neigh replace ${GATEWAY} lladdr ${macOf(GATEWAY)} dev eth0 nud permanent`);
    const moved = await counted(async () => expect(await dial(a.namespace, SERVER, 80, nicB.address)).toBe("timeout"));
    expect(moved).toEqual({});
    expect(await dial(host, nicB.address, 8080)).toBe(`${nicB.address} ${GATEWAY}`);
    await a.namespace.ip(`neigh delete ${GATEWAY} dev eth0`);
    await a.namespace.ip(`address delete ${nicB.address}/24 dev eth0`);
    await a.namespace.ip(`link set dev eth0 address ${nicA.mac}`);
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
  });

  test("make the host believe by ARP that it is another guest", async () => {
    const claim = [
      `ffffffffffff ${nicA.mac} 0806`,
      // Ethernet, IPv4, reply: B's address is at A's MAC.
      `0001 0800 06 04 0002 ${nicA.mac} ${hexOf(nicB.address)} ${nicA.mac} ${hexOf(nicB.address)}`,
    ].join("");
    await sendFrame(a, claim);
    expect(await neighbours()).toMatch(new RegExp(`${nicB.address} lladdr ${nicB.mac} PERMANENT`));
    expect(await dial(host, nicB.address, 8080)).toContain(nicB.address);
  });

  test("learn by ARP of the host's other addresses", async () => {
    await a.namespace.ip(`route add ${HOST_UPLINK}/32 dev eth0`);
    expect(await dial(a.namespace, HOST_UPLINK, CONTROLLER_PORT)).toMatch(/EHOSTUNREACH|timeout/);
    const known = (await a.namespace.run("ip", ["neigh", "show", HOST_UPLINK])).stdout;
    expect(known).not.toContain("lladdr");
    await a.namespace.ip(`route delete ${HOST_UPLINK}/32 dev eth0`);
  });

  test("speak IPv6", async () => {
    await withIpv6(a.namespace, "eth0", true);
    await a.namespace.ip("address add fd00:a::2/64 dev eth0 nodad");
    await a.namespace.ip(`neigh replace fd00:a::1 lladdr ${macOf(GATEWAY)} dev eth0 nud permanent`);
    await a.namespace.ip("route add fd00:51::/64 via fd00:a::1");
    const moved = await counted(async () =>
      expect(await dial(a.namespace, "fd00:51::1", CONTROLLER_PORT)).toBe("timeout"),
    );
    expect(moved["ipv6_refused"]).toBeGreaterThanOrEqual(1);
    await withIpv6(a.namespace, "eth0", false);
  });

  test("be reached from outside, unasked", async () => {
    const moved = await counted(async () => expect(await dial(internet, nicB.address, 8080)).toBe("timeout"));
    expect(moved["inbound_refused"]).toBeGreaterThanOrEqual(1);
  });

  test.each([...PRIVATE_SERVERS, ...UNROUTABLE])("be told %s for a public name", async (address) => {
    expect(await lookUp(host, rebindingName(address), SERVER)).toEqual([address]);
    expect(await lookUp(a.namespace, rebindingName(address))).toBe("ENOTFOUND");
  });

  test("meet a blocked range that none of these addresses is in", () => {
    const tried = [...PRIVATE_SERVERS, ...UNROUTABLE].map(parseRange);
    expect(BLOCKED_RANGES.filter((range) => !tried.some((one) => overlaps(one, parseRange(range))))).toEqual([]);
  });
});

test("no frame passes a TAP before its guest has joined, either way", async () => {
  const nic = nicOf(8, "sp-eeeeeeeeeeee");
  await network.prepare(nic);
  const early = await connectGuest(host, nic, network);
  const moved = await counted(async () => {
    expect(await dial(early.namespace, SERVER, 80)).toMatch(/EHOSTUNREACH|timeout/);
    expect(await dial(host, nic.address, 8080)).toMatch(/EHOSTUNREACH|timeout/);
  });
  expect(moved).toEqual({});
  await network.join(nic);
  expect(await dial(host, nic.address, 8080)).toContain(nic.address);
  expect(await dial(early.namespace, SERVER, 80)).toContain("internet");
  await early.namespace.remove();
  await network.remove(nic);
});

describe("presence", () => {
  test("is whole for a guest that has joined, and repeating changes nothing", async () => {
    await attach(network, nicA);
    expect(await network.presence(nicA)).toEqual({ tap: true, netns: false, firewall: true, neighbour: true });
    expect(await tapsOf(network)).toEqual([nicA.tap, nicB.tap]);
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
  });

  test("is nothing after its removal, which may be repeated", async () => {
    const nic = nicOf(9, "sp-cccccccccccc");
    await attach(network, nic);
    await network.remove(nic);
    await network.remove(nic);
    expect(await network.presence(nic)).toEqual({ tap: false, netns: false, firewall: false, neighbour: false });
    expect(await tapsOf(network)).not.toContain(nic.tap);
  });

  test("is nothing either where any local user holds on to the namespace: the TAP is gone from it", async () => {
    const nic = nicOf(9, "sp-cccccccccccc");
    await network.prepare(nic);
    const open = `console.log(fs.openSync(process.argv[1])); setInterval(() => {}, 1000);`;
    const asAnybody = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"];
    const { file } = network.namespaceOf(nic);
    const inMounts = ["--mount", `--target=${network.pid}`];
    const holder = host.spawn("nsenter", [...inMounts, ...asAnybody, NODE, "-e", open, file]);
    const [number] = await once(holder.stdout, "data");
    const links = () => host.run("nsenter", [`--net=/proc/${holder.pid}/fd/${Number(number)}`, "ip", "link"]);
    expect((await links()).stdout).toContain(nic.tap);
    await network.remove(nic);
    expect((await links()).stdout).not.toContain(nic.tap);
    expect(await network.presence(nic)).toEqual({ tap: false, netns: false, firewall: false, neighbour: false });
    holder.kill("SIGKILL");
  });

  test("counts a leftover TAP of another owner out and makes it anew", async () => {
    const nic = nicOf(9, "sp-cccccccccccc");
    await host.ip(`tuntap add dev ${nic.tap} mode tap user 12345`);
    await attach(network, nic);
    const { stdout } = await host.run("ip", ["-j", "tuntap", "show"]);
    const found = JSON.parse(stdout).find((entry: { ifname: string }) => entry.ifname === nic.tap);
    expect(found.user).toBe(nic.uid);
    await network.remove(nic);
  });
});

describe("ensure mends", () => {
  test("the firewall table, with the guests in it", async () => {
    await host.run("nft", ["delete", "table", "inet", TABLE]);
    expect(await dial(a.namespace, GATEWAY, CONTROLLER_PORT)).toContain("controller");
    await network.ensure();
    expect(await dial(a.namespace, GATEWAY, CONTROLLER_PORT)).toBe("timeout");
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
  });

  test.each(["ensure", "ensureHost"] as const)("a table whose chains somebody made otherwise: %s", async (call) => {
    await host.run("nft", ["delete", "table", "inet", TABLE]);
    const script = `table inet ${TABLE} { chain input { type filter hook input priority 7; policy drop;\n }\n }`;
    await host.run("nft", ["-f", "-"], { input: script });
    await network[call]();
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
  });

  test("the bridge, with the guests on it", async () => {
    await host.ip(`link delete dev ${BRIDGE}`);
    await network.ensure();
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
    expect(await neighbours()).toContain(`${nicB.address} lladdr ${nicB.mac} PERMANENT`);
    expect(await lookUp(a.namespace, "site.example")).toEqual([SERVER]);
  });

  test("a resolver that died", async () => {
    process.kill((await resolverPid(directory)) ?? 0, "SIGKILL");
    expect(await lookUp(a.namespace, "site.example")).not.toEqual([SERVER]);
    await network.ensure();
    expect(await lookUp(a.namespace, "site.example")).toEqual([SERVER]);
  });

  test.each([
    ["that is down", () => host.ip(`link set dev ${nicA.tap} down`)],
    ["that is on no bridge", () => host.ip(`link set dev ${nicA.tap} nomaster`)],
    ["without its forwarding entry", () => forwarding("delete", "static")],
    ["whose forwarding entry grows old", () => forwarding("replace", "dynamic")],
    ...Object.keys(PORT).map((name) => [
      `with ${name} set otherwise`,
      () => host.run("bridge", ["link", "set", "dev", nicA.tap, name, PORT[name] ? "off" : "on"]),
    ]),
  ] as [string, () => Promise<unknown>][])("a port %s", async (_what, broken) => {
    expect(await portOf(nicA)).toEqual(JOINED);
    await broken();
    expect(await portOf(nicA)).not.toEqual(JOINED);
    await network.ensure();
    expect(await portOf(nicA)).toEqual(JOINED);
  });

  test("a port that the bridge was told more of: nothing of that is left", async () => {
    const stranger = "06:00:00:00:00:77";
    const entries = async () => (await host.run("bridge", ["fdb", "show", "brport", nicA.tap])).stdout;
    await host.run("bridge", ["fdb", "replace", stranger, "dev", nicA.tap, "master", "static"]);
    await host.run("bridge", ["link", "set", "dev", nicA.tap, "locked", "off"]);
    expect(await entries()).toContain(stranger);
    await network.ensure();
    expect(await entries()).not.toContain(stranger);
    expect(await portOf(nicA)).toEqual(JOINED);
  });

  test("nothing when nothing is broken: counters, resolver and the guests' links stay", async () => {
    const resolver = await resolverPid(directory);
    let moved: unknown;
    const events = await linkEvents(async () => {
      moved = await counted(() => network.ensure());
      await attach(network, nicA);
    });
    expect((await network.counters())?.forwarded).toBeGreaterThan(0);
    expect(moved).toEqual({});
    expect(await resolverPid(directory)).toBe(resolver);
    expect(events.filter((line) => [nicA, nicB].some(({ tap }) => line.includes(tap)))).toEqual([]);
  });
});

describe("the resolver", () => {
  test("is a user's that nobody else is, and may do nothing but bind its port", async () => {
    const status = await readFile(`/proc/${await resolverPid(directory)}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t901025\t901025\t901025\t901025$/m);
    expect(status).toMatch(/^Groups:\t *$/m);
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(status).toMatch(new RegExp(`^${set}:\t0+400$`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test("is not taken to be another user's process with its command line, which is left alone", async () => {
    const pid = (await resolverPid(directory)) ?? 0;
    const words = await commandLine(pid);
    const program = `setInterval(() => console.log("here"), 50);`;
    const start = [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "--",
      NODE,
      "-e",
      program,
      "--",
      ...words.slice(1),
    ];
    const decoy = host.spawn("setpriv", start);
    await once(decoy.stdout, "data");
    await network.ensure();
    expect(await resolverPid(directory)).toBe(pid);
    process.kill(pid, "SIGKILL");
    await network.ensure();
    expect(await resolverPid(directory)).not.toBe(pid);
    expect(await lookUp(a.namespace, "site.example")).toEqual([SERVER]);
    expect(decoy.exitCode).toBeNull();
    decoy.kill("SIGKILL");
  });

  test("goes on though a guest keeps a question over TCP open, for which it forks", async () => {
    const pid = await resolverPid(directory);
    const asking = a.namespace.spawn(NODE, [
      "-e",
      `const socket = require("net").connect(53, "${GATEWAY}", () => { socket.write("\\0"); console.log("open"); });`,
    ]);
    await once(asking.stdout, "data");
    const resolvers = () => findResolvers({ directory, uid: RESOLVER_UID });
    await expect.poll(async () => (await resolvers()).length).toBe(2);
    await network.ensure();
    expect(await resolverPid(directory)).toBe(pid);
    expect(await resolvers()).toHaveLength(2);
    asking.kill("SIGKILL");
  });
});

describe("on the host itself", () => {
  test("only the controller's own user reaches a guest: its screen asks for no password", async () => {
    await serve(a.namespace, "screen", 5901);
    expect(await dial(host, nicA.address, 5901)).toContain("screen");
    expect(await dialAs(65_534, host, nicA.address, 5901)).toBe("timeout");
    expect((await network.counters())?.local_refused).toBeGreaterThan(0);
  });

  test("a VMM's user reaches nothing: no guest, not the controller, not the internet", async () => {
    for (const [address, port] of [
      [nicA.address, 5901],
      ["127.0.0.1", CONTROLLER_PORT],
      [SERVER, 80],
    ] as const) {
      expect(await dialAs(900_005, host, address, port), address).toBe("timeout");
    }
    expect((await network.counters())?.vmm_refused).toBeGreaterThan(0);
  });
});

describe("a controller that starts again", () => {
  test("cuts no guest off that it does not know yet, and adopts the resolver", async () => {
    const resolver = await resolverPid(directory);
    await network.kill();
    network = await startNetwork(host, options());
    await network.ensure();
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
    expect(await lookUp(a.namespace, "site.example")).toEqual([SERVER]);
    expect(await resolverPid(directory)).toBe(resolver);
  });

  test("opens a private range that its configuration allows, and closes it again", async () => {
    const open = await startNetwork(host, { ...options(), allow: ["10.9.9.0/24"] });
    await open.ensure();
    expect(await dial(a.namespace, "10.9.9.9", 80)).toContain("internet");
    expect(await dial(a.namespace, "172.16.9.9", 80)).toBe("timeout");
    expect(await lookUp(a.namespace, rebindingName("10.9.9.9"))).toEqual(["10.9.9.9"]);
    await open.kill();
    await network.ensure();
    expect(await dial(a.namespace, "10.9.9.9", 80)).toBe("timeout");
  });
});

describe("refusals", () => {
  test("a range that the host reaches another way", async () => {
    const other = await startNetwork(host, {
      ...options(),
      bridge: "br9",
      gateway: "198.51.100.129",
      prefixLength: 25,
    });
    await expect(other.ensure()).rejects.toThrow(
      "range-taken: The guests' range 198.51.100.128/25 overlaps 198.51.100.0/24, which this host reaches through up0.",
    );
    await other.kill();
  });

  test("a bridge that somebody else made", async () => {
    await host.ip("link add br8 type bridge");
    const other = await startNetwork(host, { ...options(), bridge: "br8", gateway: "192.168.108.1" });
    await expect(other.ensure()).rejects.toThrow("bridge-taken: The interface br8 exists already");
    await other.kill();
  });

  test("a firewall table of another controller, whose guests stay filtered", async () => {
    const other = await startNetwork(host, {
      ...options(),
      resolver: { directory: join(directory, "second"), upstream: [] },
      bridge: "br7",
      gateway: "192.168.107.1",
    });
    const isAsItWas = async (): Promise<void> => {
      expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
      expect(await dial(a.namespace, "10.9.9.9", 80)).toBe("timeout");
      expect(await network.presence(nicA)).toEqual({ tap: true, netns: false, firewall: true, neighbour: true });
    };
    const owner = `sallyport ${directory}`;
    for (const call of ["ensureHost", "ensure"] as const) {
      await expect(other[call]()).rejects.toThrow(`table-taken: The nftables table ${TABLE} belongs to another`);
      await expect(other[call]()).rejects.toThrow(owner);
    }
    await isAsItWas();
    expect(await other.found()).toEqual([]);
    // What a start undoes that was refused.
    await other.remove({ ...nicA, tap: "sp-dddddddddddd" });
    expect((await look(other, nicA)).firewall).toBeNull();
    await network.ensure();
    await other.teardown();
    await isAsItWas();
    // One of an earlier version says no owner, but names its bridge.
    await host.run("nft", ["delete", "map", "inet", TABLE, "owner"]);
    await expect(other.ensure()).rejects.toThrow("table-taken");
    await other.teardown();
    await isAsItWas();
    expect((await network.found()).filter(({ kind }) => kind === "firewall")).toHaveLength(2);
    await network.kill();
    network = await startNetwork(host, options());
    await network.ensureHost();
    await isAsItWas();
    expect((await host.run("nft", ["list", "map", "inet", TABLE, "owner"])).stdout).toContain(owner);
    await other.kill();
  });

  test("teardown while guests are left", async () => {
    await expect(network.teardown()).rejects.toThrow("guests-left");
    expect(await dial(a.namespace, SERVER, 80)).toContain("internet");
  });

  test("a resolver whose port is taken", async () => {
    const taken = await placeOf("taken");
    const elsewhere = join(directory, "taken");
    const other = await startNetwork(taken, { ...options(), resolver: { directory: elsewhere, upstream: [SERVER] } });
    const blocker = taken.spawn("dnsmasq", [
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--pid-file",
      "--no-resolv",
    ]);
    await expect.poll(() => lookUp(taken, "x.example", "127.0.0.1")).not.toBe("ECONNREFUSED");
    await expect(other.ensure()).rejects.toThrow("resolver-died: The guests' name resolver (dnsmasq) did not start");
    blocker.kill("SIGKILL");
  });
});

test("a resolver that a crashed controller started and wrote down nowhere is found and used again", async () => {
  const place = await placeOf("crash");
  const elsewhere = join(directory, "crash");
  const settings = { ...options(), resolver: { directory: elsewhere, upstream: [SERVER] } };
  const first = await startNetwork(place, settings);
  await first.ensure();
  const pid = await resolverPid(elsewhere);
  await first.kill();
  await rm(elsewhere, { recursive: true });
  const second = await startNetwork(place, settings);
  await second.ensure();
  expect(await resolverPid(elsewhere)).toBe(pid);
  await second.teardown();
  expect(await resolverPid(elsewhere)).toBeUndefined();
});

test("the resolver of an earlier version, as which nobody's process counts but the recorded one, is ended for one of ours", async () => {
  const place = await placeOf("former");
  const elsewhere = join(directory, "former");
  await mkdir(elsewhere);
  const file = join(elsewhere, "dnsmasq.pid");
  const words = ["--keep-in-foreground", "--conf-file=/dev/null", `--pid-file=${file}`];
  const former = place.spawn("dnsmasq", [...words, `--listen-address=${GATEWAY}`, "--bind-dynamic", "--no-resolv"]);
  await expect.poll(() => readFile(file, "utf8").catch(() => "")).toBe(`${former.pid}\n`);
  const user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  const decoy = place.spawn("setpriv", [
    ...user,
    NODE,
    "-e",
    `setInterval(() => console.log("here"), 50);`,
    "--",
    ...words,
  ]);
  await once(decoy.stdout, "data");
  const network = await startNetwork(place, { ...options(), resolver: { directory: elsewhere, upstream: [SERVER] } });
  await network.ensure();
  expect(await resolverPid(elsewhere)).not.toBe(former.pid);
  expect(await look(network, nicA)).toMatchObject({ isResolving: true });
  expect([former.signalCode, decoy.exitCode, decoy.signalCode]).toEqual(["SIGKILL", null, null]);
  decoy.kill("SIGKILL");
  await network.teardown();
});

test("a second controller on the same bridge is refused and takes nothing of the first one's guests", async () => {
  const place = await placeOf("two");
  const first = await startNetwork(place, {
    ...options(),
    resolver: { directory: join(directory, "two"), upstream: [] },
  });
  const second = await startNetwork(place, {
    ...options(),
    resolver: { directory: join(directory, "other"), upstream: [] },
  });
  await first.ensure();
  await attach(first, nicA);
  expect(await second.found()).toEqual([]);
  await expect(second.ensure()).rejects.toThrow("bridge-taken");
  const wasThere = await first.presence(nicA);
  expect(wasThere).toEqual({ tap: true, netns: false, firewall: true, neighbour: true });
  // As an earlier version's table: its rules are for the bridge of that name, which is the first one's.
  await place.run("nft", ["delete", "map", "inet", TABLE, "owner"]);
  // Its own TAP has another name; the address is the same.
  await second.remove({ ...nicA, tap: nicB.tap });
  expect(await second.presence(nicA), "nothing of it is the second one's").toMatchObject({
    firewall: false,
    neighbour: false,
  });
  await second.teardown();
  expect(await first.presence(nicA)).toEqual(wasThere);
  expect((await look(first, nicA)).tap).toMatchObject({ bridge: BRIDGE });
  expect(await tapsOf(first)).toEqual([nicA.tap]);
  await place.ip(`link delete ${BRIDGE}`);
  expect(await second.found(), "whose bridge is gone").toEqual([]);
  expect(await tapsOf(first)).toEqual([nicA.tap]);
  await first.ensure();
  await first.remove(nicA);
  await first.teardown();
});

test("an address that somebody gave the bridge besides keeps nothing from being mended", async () => {
  const place = await placeOf("besides");
  const network = await startNetwork(place, {
    ...options(),
    resolver: { directory: join(directory, "besides"), upstream: [] },
  });
  await network.ensure();
  await attach(network, nicA);
  await place.ip(`address delete ${GATEWAY}/24 dev ${BRIDGE}`);
  await place.ip(`address add 10.77.0.9/24 dev ${BRIDGE}`);
  await place.run("nft", ["flush ruleset"]);
  await network.ensure();
  const { bridge, firewall } = await look(network, nicA);
  expect(bridge?.addresses).toEqual(expect.arrayContaining([`${GATEWAY}/24`, "10.77.0.9/24"]));
  expect(firewall).toMatchObject({ isAdmitted: true });
  await network.remove(nicA);
  await network.teardown();
});

test("teardown leaves no bridge, no table and no resolver", async () => {
  const place = await placeOf("teardown");
  const elsewhere = join(directory, "teardown");
  const other = await startNetwork(place, { ...options(), resolver: { directory: elsewhere, upstream: [SERVER] } });
  await other.ensure();
  expect(await resolverPid(elsewhere)).toBeGreaterThan(0);
  await other.teardown();
  await other.teardown();
  expect((await place.run("ip", ["-br", "link", "show", "type", "bridge"])).stdout).toBe("");
  expect((await place.run("nft", ["list", "tables"])).stdout).toBe("");
  expect(await resolverPid(elsewhere)).toBeUndefined();
});
