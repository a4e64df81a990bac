/** The host's side of one guest's network as it is, for diagnosis and doctor: looked at, never mended. */
import { readFile } from "node:fs/promises";
import type { HostFacts } from "../contract/diagnosis.ts";
import { isTableOurs, readTable, type TableView } from "./firewall.ts";
import type { Admission, FirewallOptions } from "./firewall-rules.ts";
import { guestDrops } from "./guest-drops.ts";
import { type ForwardingEntry, type HostLinks, readForwarding, readLinks } from "./ip.ts";
import { legacyTables } from "./legacy-tables.ts";
import type { GuestNic } from "./guest-nic.ts";
import { isResolving } from "./resolver.ts";
import { namespaceOf, tapWithin } from "./namespace.ts";
import { hasPortOptions } from "./tap.ts";

export type NicView = ReturnType<typeof viewNic>;
type SeenTap = NonNullable<HostFacts["tap"]>;
export type TapView = Exclude<SeenTap, "waiting">;
type BridgeView = NonNullable<HostFacts["bridge"]>;
export type NeighbourView = NonNullable<HostFacts["neighbour"]>;
type FirewallView = NonNullable<HostFacts["firewall"]>;

const TIMEOUT_MS = 2500;

/** Each part is asked for by itself, so that one that hangs or fails does not hide the others. Null: it is not there. */
export const viewNic = (nic: GuestNic, options: FirewallOptions) => {
  const { bridge, gateway, table } = options;
  const links = readLinks(TIMEOUT_MS);
  // Whoever asks for a part is told.
  links.catch(() => {});
  return {
    tap: async () => seenTap(nic, options, await links, await readForwarding(bridge, TIMEOUT_MS), TIMEOUT_MS),
    bridge: async () => bridgeView(await links, bridge),
    neighbour: async () => neighbourView(await links, nic, bridge),
    firewall: async () => {
      const found = await readTable(table, TIMEOUT_MS);
      return firewallView(found && isTableOurs(found, options) ? found : undefined, nic);
    },
    /** Rules that are certain to drop what the guest needs. */
    foreignDrops: async () => {
      // Our own table, too: somebody may have put a rule into it.
      const paths = { table: undefined, bridge, gateway, guest: nic.address, tap: nic.tap, uplink: undefined };
      return (await guestDrops(paths))
        .filter(({ isSure }) => isSure)
        .map(({ what, family, table: owner, chain, by, keepsHostOut }) => ({
          text: `${what}: ${family} ${owner} ${chain}: ${by}`,
          keepsHostOut,
        }));
    },
    /** Tables of iptables-legacy, whose rules are not among them. */
    legacyTables,
    isForwarding,
    /** Throws when the resolver takes too long. */
    isResolving: () => isResolving(gateway),
  };
};

/** Null: it is nowhere; `waiting`: in its namespace. `links` were read before. */
export const seenTap = async (
  nic: Pick<GuestNic, "tap" | "mac">,
  { bridge, owner }: Pick<FirewallOptions, "bridge" | "owner">,
  links: HostLinks,
  forwarding: ForwardingEntry[],
  timeoutMs: number,
): Promise<SeenTap | null> => {
  const found = tapView(links, forwarding, nic, bridge);
  if (found) return found;
  if (await tapWithin(namespaceOf(nic.tap, owner), timeoutMs)) return "waiting";
  // It may have come out in between: it never goes back.
  return tapView(await readLinks(timeoutMs), forwarding, nic, bridge);
};

export const tapView = (
  { links }: HostLinks,
  forwarding: ForwardingEntry[],
  { tap, mac }: Pick<GuestNic, "tap" | "mac">,
  bridge: string,
): TapView | null => {
  const found = links.find(({ ifname }) => ifname === tap);
  if (!found) return null;
  return {
    isUp: found.flags.includes("UP"),
    hasCarrier: found.flags.includes("LOWER_UP"),
    bridge: found.master ?? null,
    isIsolated: hasPortOptions(found),
    hasForwardingEntry: forwarding.some(
      ({ ifname, mac: of, master, state, vlan }) =>
        // With a VLAN it is for frames of that VLAN only, and the bridge has none.
        ifname === tap && of === mac && master === bridge && state === "static" && vlan === undefined,
    ),
    framesFromGuest: found.stats64?.rx.packets ?? 0,
    framesToGuest: found.stats64?.tx.packets ?? 0,
  };
};

export const bridgeView = ({ links, bridgeAddresses }: HostLinks, bridge: string): BridgeView | null => {
  const found = links.find(({ ifname }) => ifname === bridge);
  if (!found) return null;
  const addresses = bridgeAddresses.filter(({ ifname }) => ifname === bridge).map(({ address }) => address);
  return { isUp: found.flags.includes("UP"), addresses };
};

export const neighbourView = (
  { neighbours }: HostLinks,
  { address }: Pick<GuestNic, "address">,
  bridge: string,
): NeighbourView | null => {
  const entry = neighbours.find(({ dst, dev }) => dst === address && dev === bridge);
  return entry ? { mac: entry.lladdr ?? "", state: entry.state.join(" ") } : null;
};

export const firewallView = (table: TableView | undefined, nic: Admission): FirewallView | null => {
  if (!table) return null;
  const isAdmitted = table.guests.some(({ address, mac }) => address === nic.address && mac === nic.mac);
  return { isAdmitted, counters: table.counters };
};

export const isForwarding = async (): Promise<boolean> =>
  (await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() === "1";
