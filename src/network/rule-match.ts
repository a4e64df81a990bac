/** Whether one packet meets an expression of a rule, and which verdicts the expression may give it. Pure. */
import { z } from "zod";

export const expression = z.record(z.string(), z.unknown());
export type Expression = z.infer<typeof expression>;

/**
 * Fields by their names in `nft -j`, e.g. `iifname`, `ip saddr`; of TCP and UDP, only `dport`. One that is left out is not
 * known. An interface's name that ends in `*` begins so.
 */
export type Packet = Readonly<Record<string, string | number | undefined>> &
  ({ protocol: "ip"; l4proto: "tcp" | "udp" } | { protocol: "arp"; l4proto?: never });

/** True, false, or undefined for not known. */
export type Truth = boolean | undefined;

export const all = (truths: Truth[]): Truth =>
  truths.includes(false) ? false : truths.includes(undefined) ? undefined : true;

const any = (truths: Truth[]): Truth => (truths.includes(true) ? true : truths.includes(undefined) ? undefined : false);

const VERDICTS = ["accept", "drop", "reject", "jump", "goto", "return"];
/** Statements that let every packet go on to the next. */
const EFFECTS = ["counter", "log", "mangle", "notrack", "ct helper", "comment", "vmap", ...VERDICTS];

/** Of an expression that is no condition: true. */
export const condition = (part: Expression, packet: Packet): Truth => {
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
const vmapShape = z.object({ key: z.unknown(), data: z.object({ set: z.array(z.tuple([z.unknown(), expression])) }) });

/** The verdicts that a statement may give: of a map the one for this packet or, where that is not known, each of them. */
export const verdictsOf = (part: Expression, packet: Packet): { statement: Expression; isKnown: boolean }[] => {
  if (VERDICTS.some((name) => name in part)) return [{ statement: part, isKnown: true }];
  if (ELSEWHERE.some((name) => name in part)) return [MAY_ACCEPT];
  if (!("vmap" in part)) return [];
  const { key, data } = vmapShape.safeParse(part.vmap).data ?? {};
  if (!data) return [MAY_ACCEPT];
  const value = fieldOf(key, packet);
  if (value === null) return [];
  const entries = data.set.map(([one, statement]) => ({
    statement,
    isHit: value === undefined ? undefined : contains(one, value),
  }));
  const hit = entries.find(({ isHit }) => isHit);
  if (hit) return [{ statement: hit.statement, isKnown: true }];
  return entries.filter(({ isHit }) => isHit === undefined).map(({ statement }) => ({ statement, isKnown: false }));
};

/** Statements that hand the packet to a program or another interface: what becomes of it is not in the rules. */
const ELSEWHERE = ["queue", "fwd"];
const MAY_ACCEPT = { statement: { accept: null }, isKnown: false };

const fieldShape = z.union([
  z.object({ meta: z.object({ key: z.string() }) }),
  z.object({ ct: z.object({ key: z.string() }) }),
  z.object({ payload: z.object({ protocol: z.string(), field: z.string() }) }),
]);

/** Undefined: not known. Null: a packet of this kind has no such field, so the rule is not for it. */
const fieldOf = (left: unknown, packet: Packet): string | number | undefined | null => {
  const shape = fieldShape.safeParse(left).data;
  if (!shape) return undefined;
  if ("ct" in shape) return packet[`ct ${shape.ct.key}`];
  if ("meta" in shape) {
    const { key } = shape.meta;
    if (key === "l4proto") return packet.l4proto ?? null;
    return packet[{ iif: "iifname", oif: "oifname" }[key] ?? key];
  }
  const { protocol, field } = shape.payload;
  if (protocol === "th") return packet.l4proto ? packet[field] : null;
  if (PROTOCOLS.includes(protocol) && packet.protocol !== protocol && packet.l4proto !== protocol) return null;
  return packet[["tcp", "udp"].includes(protocol) ? field : `${protocol} ${field}`];
};

/** Of these a packet is what it says, and none of the others. */
const PROTOCOLS = ["arp", "icmp", "icmpv6", "ip", "ip6", "tcp", "udp", "vlan"];

/** Whether a value is what a rule has on its right side: one of a list, set, range, prefix or pattern. */
export const contains = (right: unknown, value: string | number): Truth => {
  if (Array.isArray(right)) return any(right.map((one) => contains(one, value)));
  if (typeof right === "number") return right === value;
  if (typeof right === "string") {
    // A named set, whose elements are elsewhere.
    if (right.startsWith("@")) return undefined;
    return isNamed(right, String(value));
  }
  const { set, range, prefix } = compound.safeParse(right).data ?? {};
  if (set) return contains(set, value);
  if (range) return toNumber(range[0]) <= toNumber(value) && toNumber(value) <= toNumber(range[1]);
  if (!prefix) return undefined;
  const size = 2 ** (32 - prefix.len);
  return Math.floor(toNumber(prefix.addr) / size) === Math.floor(toNumber(value) / size);
};

/** Whether an interface is meant by a rule's `a` or `a*`. Of one called `b*` only the beginning is known. */
const isNamed = (pattern: string, name: string): Truth => {
  const isWhole = !pattern.endsWith("*");
  const wanted = isWhole ? pattern : pattern.slice(0, -1);
  if (!name.endsWith("*")) return isWhole ? name === wanted : name.startsWith(wanted);
  const known = name.slice(0, -1);
  if (!isWhole && known.startsWith(wanted)) return true;
  return wanted.startsWith(known) ? undefined : false;
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
