/** Firewall rules as `nft -j` lists them, and what becomes of one packet in them. Pure. */
import { z } from "zod";
import { all, condition, expression, verdictsOf, type Expression, type Packet } from "./rule-match.ts";

const chain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  policy: z.string().optional(),
  /** Interfaces that it hangs on, at the hooks of interfaces. */
  dev: z.union([z.string(), z.array(z.string())]).optional(),
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

const listing = z.object({ nftables: z.array(z.object({ chain: chain.optional(), rule: rule.optional() })) });

export type Ruleset = ReturnType<typeof parseRuleset>;

export const parseRuleset = (json: string) => {
  const entries = listing.parse(JSON.parse(json || '{"nftables":[]}')).nftables;
  return { chains: entries.flatMap((e) => e.chain ?? []), rules: entries.flatMap((e) => e.rule ?? []) };
};

/** How a base chain drops a packet, if it does. A drop that depends on what is not known here counts as no drop. */
export const dropIn = (ruleset: Ruleset, base: Chain, packet: Packet) => {
  const { verdict, by, mayAccept, mayReturn } = walk(ruleset, base, packet, 0);
  const isPolicyDrop = base.policy === "drop";
  if (verdict === "accept" || (verdict === "none" && !isPolicyDrop)) return undefined;
  return {
    /** `its policy`, or `the rule with handle 7 of chain X`. */
    by: verdict === "drop" ? by : "its policy",
    /** False: rules that could not be judged may let the packet pass. */
    isSure: !mayAccept && (isPolicyDrop || !mayReturn),
  };
};

interface End {
  /** Of a chain in which no rule applies that could not be judged. `none`: it goes on behind the chain. */
  verdict: "accept" | "drop" | "none";
  by: string;
  /** Whether one of those rules may lead to this. */
  mayAccept: boolean;
  mayReturn: boolean;
}

/** Limit of the kernel for chains that jump to chains. */
const MAX_DEPTH = 16;

const walk = (ruleset: Ruleset, at: Pick<Chain, "family" | "table" | "name">, packet: Packet, depth: number): End => {
  let [mayAccept, mayReturn] = [false, false];
  /** The verdict of a chain that may also have been left: the rest only tells what else may become of the packet. */
  let decided: Pick<End, "verdict" | "by"> | undefined;
  const end = (verdict: End["verdict"], by = ""): End => ({
    ...(decided ?? { verdict, by }),
    mayAccept: mayAccept || verdict === "accept",
    mayReturn: mayReturn || verdict === "none",
  });
  if (depth > MAX_DEPTH) return end("none");
  for (const { expr, handle } of ruleset.rules.filter((r) => isIn(r, at))) {
    const isMet = all(expr.map((part) => condition(part, packet)));
    if (isMet === false) continue;
    for (const { statement, isKnown } of expr.flatMap((part) => verdictsOf(part, packet))) {
      const isGiven = isMet && isKnown;
      const target = targetOf(statement);
      if (target !== undefined) {
        const inner = walk(ruleset, { ...at, name: target }, packet, depth + 1);
        mayAccept ||= inner.mayAccept;
        if ("goto" in statement) mayReturn ||= inner.mayReturn;
        if (isGiven && inner.verdict !== "none") decided ??= inner;
        if (isGiven && ("goto" in statement || !inner.mayReturn)) return end(inner.verdict);
      } else if (isGiven) {
        if ("return" in statement) return end("none");
        if ("accept" in statement) return end("accept");
        if ("drop" in statement || "reject" in statement) {
          return end("drop", `the rule with handle ${handle} of chain ${at.name}`);
        }
      } else {
        mayAccept ||= "accept" in statement;
        mayReturn ||= "return" in statement;
      }
    }
  }
  return end("none");
};

const targetOf = (statement: Expression): string | undefined =>
  z.object({ target: z.string() }).safeParse(statement.jump ?? statement.goto).data?.target;

const isIn = (one: Rule, at: Pick<Chain, "family" | "table" | "name">): boolean =>
  one.family === at.family && one.table === at.table && one.chain === at.name;
