/** Firewall rules as `nft -j` lists them, and what becomes of one packet in them. Pure. */
import { z } from "zod";

const expression = z.record(z.string(), z.unknown());
const chain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  policy: z.string().optional(),
});
const rule = z.object({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  handle: z.int(),
  expr: z.array(expression).default([]),
});
export type Chain = z.infer<typeof chain>;
type Rule = z.infer<typeof rule>;
type Expression = z.infer<typeof expression>;

const listing = z.object({ nftables: z.array(z.object({ chain: chain.optional(), rule: rule.optional() })) });

export interface Ruleset {
  chains: Chain[];
  rules: Rule[];
}

/** Fields by their names in `nft -j`, e.g. `iifname`, `tcp dport`. One that is left out is not known. */
export type Packet = Readonly<Record<string, string | number>> & { l4proto: "tcp" | "udp" };

export type Fate =
  | { kind: "passes" }
  /** `by`: `its policy`, or the rule. `isSure` is false when a rule before it, which could not be judged, may accept. */
  | { kind: "dropped"; by: string; isSure: boolean };

export const parseRuleset = (json: string): Ruleset => {
  const entries = listing.parse(JSON.parse(json || '{"nftables":[]}')).nftables;
  return { chains: entries.flatMap((e) => e.chain ?? []), rules: entries.flatMap((e) => e.rule ?? []) };
};

/** What a base chain does with a packet. A drop that depends on what is not known here counts as no drop. */
export const fateIn = (ruleset: Ruleset, base: Chain, packet: Packet): Fate => {
  const end = walk(ruleset, base, packet, 0);
  if (end.verdict === "drop") return { kind: "dropped", by: end.by, isSure: !end.mayAccept };
  if (end.verdict === "accept" || base.policy !== "drop") return { kind: "passes" };
  return { kind: "dropped", by: "its policy", isSure: !end.mayAccept };
};

interface End {
  verdict: "accept" | "drop" | "none";
  by: string;
  /** A rule that could not be judged would have accepted. */
  mayAccept: boolean;
}

/** Limit of the kernel for chains that jump to chains. */
const MAX_DEPTH = 16;

const walk = (ruleset: Ruleset, at: Pick<Chain, "family" | "table" | "name">, packet: Packet, depth: number): End => {
  let mayAccept = false;
  const end = (verdict: End["verdict"], by = ""): End => ({ verdict, by, mayAccept });
  if (depth > MAX_DEPTH) return end("none");
  for (const { expr, handle } of ruleset.rules.filter((r) => isIn(r, at))) {
    const isMet = all(expr.map((part) => condition(part, packet)));
    if (isMet === false) continue;
    for (const statement of expr.map((part) => verdictOf(part, packet))) {
      if (!statement) continue;
      if ("return" in statement && isMet) return end("none");
      if ("accept" in statement) {
        if (isMet) return end("accept");
        mayAccept = true;
      }
      if (("drop" in statement || "reject" in statement) && isMet) {
        return end("drop", `the rule with handle ${handle} of chain ${at.name}`);
      }
      const target = targetOf(statement);
      if (target === undefined) continue;
      const inner = walk(ruleset, { ...at, name: target }, packet, depth + 1);
      mayAccept ||= inner.mayAccept || (!isMet && inner.verdict === "accept");
      if (isMet && inner.verdict !== "none") return { ...inner, mayAccept };
      if (isMet && "goto" in statement) return end("none");
    }
  }
  return end("none");
};

const isIn = (one: Rule, at: Pick<Chain, "family" | "table" | "name">): boolean =>
  one.family === at.family && one.table === at.table && one.chain === at.name;

/** True, false, or undefined for not known. */
type Truth = boolean | undefined;

const all = (truths: Truth[]): Truth =>
  truths.includes(false) ? false : truths.includes(undefined) ? undefined : true;

const VERDICTS = ["accept", "drop", "reject", "jump", "goto", "return"];
/** Statements that let every packet go on to the next. */
const EFFECTS = ["counter", "log", "mangle", "notrack", "ct helper", "comment", "vmap", ...VERDICTS];

const condition = (part: Expression, packet: Packet): Truth => {
  const match = matchShape.safeParse(part.match);
  if (!match.success) return Object.keys(part).every((name) => EFFECTS.includes(name)) || undefined;
  const { op, left, right } = match.data;
  const value = fieldOf(left, packet);
  if (value === null) return false;
  const isEqual = value === undefined ? undefined : contains(right, value);
  if (isEqual === undefined || !["==", "in", "!="].includes(op)) return undefined;
  return op === "!=" ? !isEqual : isEqual;
};

const matchShape = z.object({ op: z.string(), left: z.unknown(), right: z.unknown() });
const vmapShape = z.object({
  key: z.unknown(),
  data: z.object({ set: z.array(z.tuple([z.unknown(), expression])) }),
});

/** The verdict a statement gives: of a map, the one for this packet. */
const verdictOf = (part: Expression, packet: Packet): Expression | undefined => {
  if (VERDICTS.some((name) => name in part)) return part;
  const map = vmapShape.safeParse(part.vmap);
  const value = map.success ? fieldOf(map.data.key, packet) : undefined;
  if (!map.success || value === undefined || value === null) return undefined;
  return map.data.data.set.find(([key]) => contains(key, value))?.[1];
};

const targetOf = (statement: Expression): string | undefined =>
  z.object({ target: z.string() }).safeParse(statement.jump ?? statement.goto).data?.target;

const fieldShape = z.union([
  z.object({ meta: z.object({ key: z.string() }) }),
  z.object({ ct: z.object({ key: z.string() }) }),
  z.object({ payload: z.object({ protocol: z.string(), field: z.string() }) }),
]);

/** Undefined: not known. Null: a packet of this kind has no such field, so the rule is not for it. */
const fieldOf = (left: unknown, packet: Packet): string | number | undefined | null => {
  const shape = fieldShape.safeParse(left).data;
  if (!shape) return undefined;
  if ("meta" in shape) return packet[{ iif: "iifname", oif: "oifname" }[shape.meta.key] ?? shape.meta.key];
  if ("ct" in shape) return packet[`ct ${shape.ct.key}`];
  const { protocol, field } = shape.payload;
  if (["ip6", "icmp", "icmpv6", "arp"].includes(protocol)) return null;
  if (["tcp", "udp"].includes(protocol) && protocol !== packet.l4proto) return null;
  return packet[["tcp", "udp", "th"].includes(protocol) ? field : `${protocol} ${field}`];
};

const contains = (right: unknown, value: string | number): Truth => {
  if (Array.isArray(right)) return right.some((one) => contains(one, value) === true);
  if (typeof right === "number") return right === value;
  if (typeof right === "string") {
    // A named set, whose elements are elsewhere.
    if (right.startsWith("@")) return undefined;
    return right.endsWith("*") ? String(value).startsWith(right.slice(0, -1)) : right === value;
  }
  const { set, range, prefix } = compound.safeParse(right).data ?? {};
  if (set) return contains(set, value);
  if (range) return toNumber(range[0]) <= toNumber(value) && toNumber(value) <= toNumber(range[1]);
  if (!prefix) return undefined;
  const size = 2 ** (32 - prefix.len);
  return Math.floor(toNumber(prefix.addr) / size) === Math.floor(toNumber(value) / size);
};

const scalar = z.union([z.string(), z.number()]);
const compound = z.object({
  set: z.array(z.unknown()).optional(),
  range: z.tuple([scalar, scalar]).optional(),
  prefix: z.object({ addr: z.string(), len: z.int() }).optional(),
});

/** Numbers as they are, IPv4 addresses as 32-bit numbers, all else as no number, which nothing contains. */
const toNumber = (value: string | number): number =>
  typeof value === "number" || !value.includes(".")
    ? Number(value)
    : value.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
