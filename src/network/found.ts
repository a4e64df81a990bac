/** What is on this host of any guest of ours. Pure. */
import { TAP_PREFIX } from "../lib/id.ts";
import type { TableView } from "./firewall.ts";
import type { GuestNic } from "./guest-nic.ts";
import type { HostLinks } from "./ip.ts";
import type { FoundThing, NicPresence } from "./network.ts";
import { namespaceOf } from "./namespace.ts";
import { ourTaps } from "./tap.ts";

/** Neighbours say not whose they are: they are ours where the bridge is. `table`: ours. */
export const foundThings = (
  { links, neighbours }: HostLinks,
  table: TableView | undefined,
  namespaces: { name: string; vmId: string }[],
  { bridge, owner }: { bridge: string; owner: string },
): FoundThing[] => {
  const isBridgeOurs = links.find(({ ifname }) => ifname === bridge)?.ifalias === owner;
  const pinned = neighbours.filter(({ dev, state }) => dev === bridge && state.includes("PERMANENT"));
  const taps = ourTaps(links, { bridge, owner });
  return [
    ...taps.map((ref) => ({ kind: "tap" as const, ref, vmId: ref.slice(TAP_PREFIX.length) })),
    ...namespaces.map(({ name, vmId }) => ({ kind: "netns" as const, ref: name, vmId })),
    ...(isBridgeOurs ? (table?.guests ?? []) : []).map(({ address }) => ({ kind: "firewall" as const, ref: address })),
    ...(isBridgeOurs ? pinned : []).map(({ lladdr = "" }) => ({ kind: "neighbour" as const, ref: lladdr })),
  ];
};

export const refOf = (kind: keyof NicPresence, { tap, address, mac }: GuestNic, owner: string): string =>
  ({ tap, netns: namespaceOf(tap, owner), firewall: address, neighbour: mac })[kind];
