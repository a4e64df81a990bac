/**
 * Firewall tables other than ours that would drop what guests need. An `accept` of ours ends only our own table's chain:
 * Docker's FORWARD policy, ufw's INPUT and the like still have their say.
 */
import type { Packet } from "./rule-match.ts";
import { fateIn, parseRuleset } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";
import { runTool } from "./tool.ts";

export interface GuestPaths {
  /** Our own table, which is left out; undefined: it is looked at as well. */
  table: string | undefined;
  bridge: string;
  gateway: string;
  /** Any address of the guests' range. */
  guest: string;
  /** Interface with the default route; undefined: not known. */
  uplink: string | undefined;
}

export interface GuestDrop {
  family: string;
  table: string;
  chain: string;
  hook: string;
  /** What is dropped, as the subject of a sentence. */
  what: string;
  /** `its policy`, or `the rule with handle 7 of chain X`. */
  by: string;
  /** False: a rule that could not be judged may let it pass before. */
  isSure: boolean;
}

/** Needs root. Throws as `runTool` does. */
export const guestDrops = async (paths: GuestPaths): Promise<GuestDrop[]> =>
  dropsIn(parseRuleset((await runTool("nft", ["-j", "list", "ruleset"], { timeoutMs: 4_000 })).stdout), paths);

/** Pure. At most one per chain: what is dropped first. */
export const dropsIn = (ruleset: Ruleset, paths: GuestPaths): GuestDrop[] =>
  ruleset.chains
    .filter(({ family, type }) => ["ip", "inet"].includes(family) && type === "filter")
    .filter(({ family, table }) => !(family === "inet" && table === paths.table))
    .flatMap((chain) => {
      const drops = journeysOf(paths)
        .filter((journey) => journey.hook === chain.hook)
        .flatMap(({ what, packet }) => {
          const fate = fateIn(ruleset, chain, packet);
          return fate.kind === "dropped" ? [{ what, by: fate.by, isSure: fate.isSure }] : [];
        });
      const { family, table, name, hook = "" } = chain;
      return drops.slice(0, 1).map((drop) => ({ family, table, chain: name, hook, ...drop }));
    });

/** The one of them at INPUT that a guest can be reached without. */
export const NAME_QUERIES = "Guests' name queries to this host";

interface Journey {
  hook: string;
  what: string;
  packet: Packet;
}

/** The few packets without which a guest is of no use, each at the hook where a host's firewall meets it. */
const journeysOf = ({ bridge, gateway, guest, uplink }: GuestPaths): Journey[] => {
  const from = { nfproto: "ipv4", protocol: "ip", iifname: bridge, "ip saddr": guest };
  const to = { nfproto: "ipv4", protocol: "ip", oifname: bridge, "ip daddr": guest };
  const tcp = { l4proto: "tcp", "ip protocol": "tcp" } as const;
  const udp = { l4proto: "udp", "ip protocol": "udp" } as const;
  return [
    {
      hook: "forward",
      what: "Guests' connections to the internet",
      packet: { ...from, ...tcp, ...(uplink ? { oifname: uplink } : {}), dport: 443, "ct state": "new" },
    },
    {
      hook: "forward",
      what: "The internet's answers to guests",
      packet: { ...to, ...tcp, ...(uplink ? { iifname: uplink } : {}), sport: 443, "ct state": "established" },
    },
    {
      hook: "input",
      what: "Guests' answers to this host",
      packet: { ...from, ...tcp, "ip daddr": gateway, sport: 8080, "ct state": "established" },
    },
    {
      hook: "input",
      what: NAME_QUERIES,
      packet: { ...from, ...udp, "ip daddr": gateway, dport: 53, "ct state": "new" },
    },
    {
      hook: "prerouting",
      what: "Guests' answers to this host",
      packet: { ...from, ...tcp, "ip daddr": gateway, sport: 8080, "ct state": "established" },
    },
    {
      hook: "output",
      what: "This host's connections to guests",
      packet: { ...to, ...tcp, "ip saddr": gateway, dport: 8080, "ct state": "new" },
    },
  ];
};
