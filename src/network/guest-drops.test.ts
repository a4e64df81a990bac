import { describe, expect, test } from "vitest";
import { dropsIn } from "./guest-drops.ts";
import type { GuestPaths } from "./guest-journeys.ts";
import { parseRuleset } from "./ruleset.ts";

const paths: GuestPaths = {
  table: "sallyport",
  bridge: "br0",
  gateway: "192.168.100.1",
  guest: "192.168.100.2",
  uplink: "eth0",
};

type Rule = Record<string, unknown>[];

/** Chains of `ip filter` with their rules; the first one is the base chain. */
const drops = (base: { hook?: string; policy?: string }, chains: Record<string, Rule[]>, table = "filter") => {
  const family = table === "sallyport" ? "inet" : "ip";
  const nftables = Object.entries(chains).flatMap(([name, rules], index) => [
    {
      chain: {
        family,
        table,
        name,
        ...(index === 0 ? { type: "filter", hook: "forward", policy: "accept", ...base } : {}),
      },
    },
    ...rules.map((expr, number) => ({ rule: { family, table, chain: name, handle: number + 1, expr } })),
  ]);
  return dropsIn(parseRuleset(JSON.stringify({ nftables: [{ metainfo: {} }, ...nftables] })), paths);
};

const meta = (key: string, right: unknown, op = "==") => ({ match: { op, left: { meta: { key } }, right } });
const payload = (protocol: string, field: string, right: unknown) => ({
  match: { op: "==", left: { payload: { protocol, field } }, right },
});
const established = { match: { op: "in", left: { ct: { key: "state" } }, right: ["established", "related"] } };
const accept = { accept: null };
const drop = { drop: null };
/** What `nft` prints for a match of iptables that it has no words for. */
const xt = { xt: null };
const vmap = (key: string, set: [unknown, object][]) => ({ vmap: { key: { meta: { key } }, data: { set } } });
const jump = (target: string) => ({ jump: { target } });

const outgoing = "Guests' connections to the internet";

describe("dropsIn", () => {
  test("Docker's FORWARD drops what its own chains do not accept", () => {
    const found = drops(
      { policy: "drop" },
      {
        FORWARD: [[jump("DOCKER-USER")], [jump("DOCKER-FORWARD")]],
        "DOCKER-USER": [],
        "DOCKER-FORWARD": [
          [meta("oifname", "docker0"), established, accept],
          [meta("oifname", "docker0"), jump("DOCKER")],
          [meta("iifname", "docker0"), accept],
        ],
        DOCKER: [
          [payload("ip", "daddr", "172.17.0.2"), payload("tcp", "dport", 443), accept],
          [meta("oifname", "docker0"), drop],
        ],
      },
    );
    expect(found).toEqual([
      {
        family: "ip",
        table: "filter",
        chain: "FORWARD",
        hook: "forward",
        side: "br0",
        what: outgoing,
        keepsHostOut: false,
        by: "its policy",
        isSure: true,
      },
    ]);
  });

  test("a bridge that is let through both ways is not dropped", () => {
    const rules = [
      [meta("iifname", "br*"), accept],
      [meta("oifname", "br0"), accept],
    ];
    expect(drops({ policy: "drop" }, { FORWARD: rules })).toEqual([]);
    expect(drops({ policy: "drop" }, { FORWARD: rules.slice(0, 1) })).toMatchObject([
      { what: "The internet's answers to guests" },
    ]);
  });

  test.each<[string, Rule[], boolean]>([
    ["no condition", [[drop]], true],
    ["the guests' interface", [[meta("iifname", "br0"), { reject: {} }]], true],
    ["the guests' range", [[payload("ip", "saddr", { prefix: { addr: "192.168.0.0", len: 16 } }), drop]], true],
    ["everything but another interface", [[meta("iifname", "docker0", "!="), drop]], true],
    ["a map of verdicts", [[{ vmap: { key: { ct: { key: "state" } }, data: { set: [["new", drop]] } } }]], true],
    ["ports in a range", [[payload("tcp", "dport", { range: [1, 1023] }), drop]], true],
    ["another chain that is gone to", [[{ goto: { target: "X" } }]], true],
    ["another port", [[payload("tcp", "dport", { set: [25, 465] }), drop]], false],
    ["another protocol", [[payload("udp", "dport", 443), drop]], false],
    ["IPv6", [[payload("ip6", "saddr", "fd00::1"), drop]], false],
    ["invalid packets", [[{ match: { op: "==", left: { ct: { key: "state" } }, right: "invalid" } }, drop]], false],
    ["a condition that can't be judged", [[xt, drop]], false],
    ["a named set", [[payload("ip", "saddr", "@banned"), drop]], false],
    ["what an earlier rule accepts", [[accept], [drop]], false],
    ["what returns from a chain before", [[jump("RETURNS")], [payload("tcp", "dport", 25), drop]], false],
  ])("a rule with %s", (_name, rules, isDropped) => {
    const found = drops({}, { FORWARD: rules, X: [[drop]], RETURNS: [[{ return: null }], [drop]] });
    expect(found.map(({ what, isSure }) => [what, isSure])).toEqual(isDropped ? [[outgoing, true]] : []);
  });

  test.each<[string, Rule[], boolean]>([
    ["an accept that can't be judged", [[xt, accept]], false],
    ["a jump to an accept that can't be judged", [[xt, jump("ACCEPTS")]], false],
    ["a map of verdicts whose key is not known", [[vmap("mark", [[1, accept]])]], false],
    ["a map of verdicts that is elsewhere", [[{ vmap: { key: { meta: { key: "iifname" } }, data: "@map" } }]], false],
    ["a program that may accept", [[{ queue: { num: 1 } }]], false],
    ["another map's accept", [[vmap("iifname", [["lo", accept]])]], true],
    ["a drop or return that can't be judged", [[jump("RETURNS_PERHAPS")]], true],
  ])("a policy behind %s is told as sure: %s", (_name, rules, isSure) => {
    const chains = { FORWARD: rules, ACCEPTS: [[accept]], RETURNS_PERHAPS: [[xt, { return: null }], [drop]] };
    expect(drops({ policy: "drop" }, chains)).toMatchObject([{ isSure }]);
  });

  test.each<[string, Rule[], boolean]>([
    ["left by a return that can't be judged", [[xt, { return: null }], [drop]], false],
    ["left by a goto that can't be judged", [[xt, { goto: { target: "EMPTY" } }], [drop]], false],
    ["that can't be left", [[xt, jump("EMPTY")], [drop]], true],
  ])("a drop in a chain %s is sure: %s", (_name, rules, isSure) => {
    expect(drops({}, { FORWARD: [[jump("X")]], X: rules, EMPTY: [] })).toMatchObject([{ isSure }]);
    expect(drops({}, { FORWARD: [[jump("X")], [drop]], X: rules, EMPTY: [] })).toMatchObject([{ isSure: true }]);
    expect(drops({}, { FORWARD: [[jump("X")], [accept]], X: rules, EMPTY: [] })).toMatchObject([{ isSure }]);
  });

  test("input: only what guests ask this host is of interest", () => {
    const ssh = [established, accept];
    const open = [payload("udp", "dport", 53), accept];
    expect(drops({ hook: "input", policy: "drop" }, { INPUT: [ssh] })).toMatchObject([
      { what: "Guests' name queries to this host" },
    ]);
    expect(drops({ hook: "input", policy: "drop" }, { INPUT: [ssh, open] })).toEqual([]);
  });

  test("our own table is left out", () => {
    expect(drops({ policy: "drop" }, { forward: [] }, "sallyport")).toEqual([]);
  });
});

/** A chain of another family, with rules as nft 1.0.6 prints them. */
const framesDropped = (base: Record<string, unknown>, rules: Rule[], tap?: string) => {
  const chain = { family: "bridge", table: "other", name: "it", type: "filter", policy: "accept", ...base };
  const listed = rules.map((expr, number) => ({
    rule: { family: chain.family, table: "other", chain: "it", handle: number + 1, expr },
  }));
  const found = dropsIn(parseRuleset(JSON.stringify({ nftables: [{ chain }, ...listed] })), {
    ...paths,
    ...(tap ? { tap } : {}),
  });
  return found.map(({ what, keepsHostOut, isSure, side }) => ({ what, keepsHostOut, isSure, side }));
};

const TAP = "sp-aaaaaaaaaaaa";
const ofType = (right: unknown, op = "==") => ({
  match: { op, left: { payload: { protocol: "ether", field: "type" } }, right },
});
const answers = "Guests' answers to this host";
const arpQueries = "Guests' ARP queries for their gateway";

describe("dropsIn, of frames", () => {
  test.each([
    ["bridge", "prerouting", answers],
    ["bridge", "input", answers],
    ["bridge", "output", "This host's connections to guests"],
    ["bridge", "postrouting", "This host's connections to guests"],
    ["bridge", "forward", undefined],
    ["arp", "input", arpQueries],
    ["arp", "output", "This host's answers to guests' ARP queries"],
  ])("%s %s: a policy that drops", (family, hook, what) => {
    const side = family === "arp" ? "br0" : TAP;
    const expected = what ? [{ what, keepsHostOut: true, isSure: true, side }] : [];
    expect(framesDropped({ family, hook, policy: "drop" }, [], TAP)).toEqual(expected);
  });

  test.each<[string, Rule[], { what: string; keepsHostOut: boolean } | undefined]>([
    ["the guest's TAP", [[meta("iifname", TAP), drop]], { what: answers, keepsHostOut: true }],
    ["its TAP by number", [[meta("iif", TAP), drop]], { what: answers, keepsHostOut: true }],
    ["a set of TAPs", [[meta("iifname", { set: [TAP, "sp-b"] }), drop]], { what: answers, keepsHostOut: true }],
    ["all TAPs", [[meta("iifname", "sp-*"), drop]], { what: answers, keepsHostOut: true }],
    ["our bridge", [[meta("ibrname", "br0"), drop]], { what: answers, keepsHostOut: true }],
    ["another TAP", [[meta("iifname", "sp-bbbbbbbbbbbb"), drop]], undefined],
    ["the bridge's name, which is not that of the port", [[meta("iifname", "br0"), drop]], undefined],
    ["ARP", [[ofType("arp"), drop]], { what: arpQueries, keepsHostOut: true }],
    ["ARP, said otherwise", [[meta("protocol", "arp"), drop]], { what: arpQueries, keepsHostOut: true }],
    ["all but IP", [[ofType("ip", "!="), drop]], { what: arpQueries, keepsHostOut: true }],
    ["ARP's questions", [[payload("arp", "operation", "request"), drop]], { what: arpQueries, keepsHostOut: true }],
    ["ARP's answers", [[payload("arp", "operation", "reply"), drop]], undefined],
    [
      "ARP of the range",
      [[payload("arp", "saddr ip", { prefix: { addr: "192.168.0.0", len: 16 } }), drop]],
      { what: arpQueries, keepsHostOut: true },
    ],
    [
      "ARP behind an accept",
      [
        [meta("protocol", { set: ["ip", "arp"] }), accept],
        [ofType("arp"), drop],
      ],
      undefined,
    ],
    [
      "ARP by a map",
      [
        [
          {
            vmap: {
              key: { payload: { protocol: "ether", field: "type" } },
              data: {
                set: [
                  ["ip", accept],
                  ["arp", drop],
                ],
              },
            },
          },
        ],
      ],
      { what: arpQueries, keepsHostOut: true },
    ],
    [
      "the guests' range",
      [[payload("ip", "saddr", { prefix: { addr: "192.168.100.0", len: 24 } }), drop]],
      { what: answers, keepsHostOut: true },
    ],
    ["TCP", [[meta("l4proto", "tcp"), drop]], { what: answers, keepsHostOut: true }],
    ["HTTPS", [[payload("tcp", "dport", 443), drop]], { what: outgoing, keepsHostOut: false }],
    [
      "name queries",
      [[payload("udp", "dport", 53), drop]],
      { what: "Guests' name queries to this host", keepsHostOut: false },
    ],
    [
      "tagged frames",
      [
        [ofType("8021q"), drop],
        [payload("vlan", "id", 5), drop],
      ],
      undefined,
    ],
    ["LLDP", [[ofType(35_020), drop]], undefined],
    ["IPv6", [[payload("ip6", "saddr", { prefix: { addr: "fe80::", len: 10 } }), drop]], undefined],
    ["a MAC, which is not judged", [[payload("ether", "saddr", "06:00:c0:a8:64:05"), drop]], undefined],
    ["connections' states, which a bridge may not track", [[established, drop]], undefined],
  ])("bridge input, a rule for %s", (_name, rules, expected) => {
    const found = framesDropped({ hook: "input" }, rules, TAP);
    expect(found).toEqual(expected ? [{ ...expected, isSure: true, side: TAP }] : []);
  });

  test("a policy behind an accept by a connection's state is told as unsure", () => {
    const stateMap = { vmap: { key: { ct: { key: "state" } }, data: { set: [["established", accept]] } } };
    for (const rules of [[[established, accept]], [[stateMap]]]) {
      expect(framesDropped({ hook: "output", policy: "drop" }, rules, TAP)).toMatchObject([{ isSure: false }]);
    }
  });

  test.each<[string, Rule[], boolean | undefined]>([
    ["drops all", [[drop]], true],
    ["drops every TAP of guests", [[meta("iifname", "sp-*"), drop]], true],
    ["drops all but another interface's", [[meta("iifname", "eth1", "!="), drop]], true],
    ["lets every TAP of guests through", [[meta("iifname", "sp-*"), accept], [drop]], undefined],
    ["lets some TAPs of guests through", [[meta("iifname", "sp-a*"), accept], [drop]], false],
    ["drops one guest's TAP", [[meta("iifname", TAP), drop]], undefined],
  ])("where no TAP is known, a chain that %s", (_name, rules, isSure) => {
    const expected = isSure === undefined ? [] : [{ what: answers, keepsHostOut: true, isSure, side: "sp-*" }];
    expect(framesDropped({ hook: "input" }, rules)).toEqual(expected);
  });

  test.each<[string, Record<string, unknown>, string[]]>([
    ["on the TAP", { hook: "ingress", dev: TAP }, [`${answers} ${TAP}`]],
    ["on the bridge", { hook: "ingress", dev: "br0" }, [`${answers} br0`]],
    ["on both", { hook: "ingress", dev: ["br0", TAP] }, [`${answers} ${TAP}`]],
    ["on every TAP", { hook: "ingress", dev: "sp-*" }, [`${answers} ${TAP}`]],
    ["on another interface", { hook: "ingress", dev: "eth0" }, []],
    ["on one that is not told", { hook: "ingress" }, []],
    ["on the TAP, the other way", { hook: "egress", dev: TAP }, [`This host's connections to guests ${TAP}`]],
    ["of the family inet on the TAP", { family: "inet", hook: "ingress", dev: TAP }, [`${answers} ${TAP}`]],
  ])("a device's chain %s", (_name, base, expected) => {
    const found = framesDropped({ family: "netdev", ...base }, [[drop]], TAP);
    expect(found.map(({ what, side }) => `${what} ${side}`)).toEqual(expected);
  });

  test("ARP passes a device's chain, but not one of the family inet", () => {
    const rules = [[ofType("arp"), drop]];
    const base = { hook: "ingress", dev: TAP };
    expect(framesDropped({ ...base, family: "netdev" }, rules, TAP)).toMatchObject([{ what: arpQueries }]);
    expect(framesDropped({ ...base, family: "inet" }, rules, TAP)).toEqual([]);
  });
});
