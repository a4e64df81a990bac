/** The few packets without which a guest is of no use, and the hooks of the host where a packet filter meets them. Pure. */
import { GUEST_PORTS } from "../contract/guest.ts";
import { TAP_PREFIX } from "../lib/id.ts";
import { contains, type Packet } from "./rule-match.ts";
import type { Chain } from "./ruleset.ts";

export interface GuestPaths {
  /** Our own table, which is left out; undefined: it is looked at as well. */
  table: string | undefined;
  bridge: string;
  gateway: string;
  /** Any address of the guests' range. */
  guest: string;
  /** The guest's own; undefined: not known but for its beginning. */
  tap?: string;
  /** Interface with the default route; undefined: not known. */
  uplink: string | undefined;
}

/** What passes a base chain, what matters most first. */
export const journeysAt = (chain: Chain, paths: GuestPaths) => {
  const { family, hook = "" } = chain;
  const layer = ["ingress", "egress"].includes(hook) ? "device" : family;
  const all = journeysOf(paths);
  return sidesOf(layer, chain, paths).flatMap((side) =>
    (PASSING[layer]?.[hook] ?? [])
      .map((name) => ({ name, ...all[name] }))
      // The ingress of `inet` is for IP only.
      .filter(({ packet }) => family !== "inet" || packet.protocol === "ip")
      .map(({ name, what, packet }) => {
        const isFromGuest = FROM_GUEST.includes(name);
        const [near, far] = isFromGuest ? ["iifname", "oifname"] : ["oifname", "iifname"];
        const more: Record<string, string | undefined> = {
          [near]: side,
          ...(hook === "forward" ? { [far]: paths.uplink } : {}),
          // Where the kernel tracks connections for certain: not of frames.
          ...(["ip", "inet"].includes(layer) ? { nfproto: "ipv4", "ct state": stateOf(name) } : {}),
          ...(["bridge", "device"].includes(layer) ? { "ether type": packet.protocol } : {}),
          ...(layer === "bridge" ? { [isFromGuest ? "ibrname" : "obrname"]: paths.bridge } : {}),
        };
        return {
          /** What is under way, as the subject of a sentence. */
          what,
          /** The host cannot reach the guest without it. */
          keepsHostOut: BETWEEN_BOTH.includes(name),
          /** Interface that it comes from the guest by, or goes to it: the bridge or the TAP, which may end in `*`. */
          side,
          packet: { ...packet, ...more } satisfies Packet,
        };
      }),
  );
};

type Name = keyof ReturnType<typeof journeysOf>;

const FROM_GUEST: Name[] = ["answers", "arpQueries", "nameQueries", "outgoing"];
const TO_GUEST: Name[] = ["connections", "arpAnswers", "returning"];
/** Without any of these the host cannot reach the guest. */
const BETWEEN_BOTH: Name[] = ["answers", "connections", "arpQueries", "arpAnswers"];
const AT_IP: Record<string, Name[]> = {
  prerouting: ["answers"],
  input: ["answers", "nameQueries"],
  forward: ["outgoing", "returning"],
  output: ["connections"],
};

/** By layer and hook. A guest's frames to another guest are not among them: `forward` of a bridge may drop what it likes. */
const PASSING: Record<string, Record<string, Name[]>> = {
  ip: AT_IP,
  inet: AT_IP,
  arp: { input: ["arpQueries"], output: ["arpAnswers"] },
  bridge: { prerouting: FROM_GUEST, input: FROM_GUEST, output: TO_GUEST, postrouting: TO_GUEST },
  device: { ingress: FROM_GUEST, egress: TO_GUEST },
};

const sidesOf = (layer: string, { dev = [] }: Chain, { bridge, tap = `${TAP_PREFIX}*` }: GuestPaths): string[] => {
  if (layer === "bridge") return [tap];
  if (layer !== "device") return [bridge];
  return [tap, bridge].filter((side) => contains([dev].flat(), side));
};

const stateOf = (name: Name): string => (["returning", "answers"].includes(name) ? "established" : "new");

const journeysOf = ({ gateway, guest }: GuestPaths) => {
  const from = { protocol: "ip", "ip saddr": guest } as const;
  const to = { protocol: "ip", "ip daddr": guest } as const;
  const tcp = { l4proto: "tcp", "ip protocol": "tcp" } as const;
  const udp = { l4proto: "udp", "ip protocol": "udp" } as const;
  const query = { "arp operation": "request", "arp saddr ip": guest, "arp daddr ip": gateway };
  const reply = { "arp operation": "reply", "arp saddr ip": gateway, "arp daddr ip": guest };
  const { health } = GUEST_PORTS;
  return {
    outgoing: { what: "Guests' connections to the internet", packet: { ...from, ...tcp, dport: 443 } },
    returning: { what: "The internet's answers to guests", packet: { ...to, ...tcp, sport: 443 } },
    answers: { what: "Guests' answers to this host", packet: { ...from, ...tcp, "ip daddr": gateway, sport: health } },
    connections: {
      what: "This host's connections to guests",
      packet: { ...to, ...tcp, "ip saddr": gateway, dport: health },
    },
    nameQueries: {
      what: "Guests' name queries to this host",
      packet: { ...from, ...udp, "ip daddr": gateway, dport: 53 },
    },
    // The host itself asks for no guest's MAC: it has them from us.
    arpQueries: { what: "Guests' ARP queries for their gateway", packet: { protocol: "arp", ...query } },
    arpAnswers: { what: "This host's answers to guests' ARP queries", packet: { protocol: "arp", ...reply } },
  } satisfies Record<string, { what: string; packet: Packet }>;
};
