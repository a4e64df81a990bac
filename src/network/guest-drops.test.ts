import { describe, expect, test } from "vitest";
import { dropsIn } from "./guest-drops.ts";
import { parseRuleset } from "./ruleset.ts";

const paths = { table: "sallyport", bridge: "br0", gateway: "192.168.100.1", guest: "192.168.100.2", uplink: "eth0" };

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
        what: outgoing,
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
