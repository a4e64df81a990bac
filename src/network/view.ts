/** The host's side of one guest's network as it is, for diagnosis: looked at, never mended. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { admittedGuests, readCounters } from "./firewall.ts";
import { guestDrops } from "./guest-drops.ts";
import { addressesOf, neighboursOn } from "./ip.ts";
import { legacyTables } from "./legacy-tables.ts";
import type { GuestNic } from "./guest-nic.ts";
import { runTool } from "./tool.ts";

/** Null: it is not there. */
export interface NicView {
  tap: () => Promise<TapView | null>;
  bridge: () => Promise<{ isUp: boolean; addresses: string[] } | null>;
  neighbour: () => Promise<{ mac: string; state: string } | null>;
  firewall: () => Promise<{ isAdmitted: boolean; counters: Record<string, number> } | null>;
  /** Rules that are certain to drop what the guest needs. */
  foreignDrops: () => Promise<ForeignDrop[]>;
  /** Tables of iptables-legacy, whose rules are not among them. */
  legacyTables: () => Promise<string[]>;
  isForwarding: () => Promise<boolean>;
}

export interface TapView {
  isUp: boolean;
  hasCarrier: boolean;
  bridge: string | null;
  isIsolated: boolean;
  /** The bridge knows which port has the guest's MAC; it may not learn it. */
  hasForwardingEntry: boolean;
  /** Frames that came from the guest, and that went to it. */
  framesFromGuest: number;
  framesToGuest: number;
}

export interface ForeignDrop {
  /** What is dropped, by which rule of which chain. */
  text: string;
  /** The host cannot reach the guest for it. */
  keepsHostOut: boolean;
}

const TIMEOUT_MS = 2500;

/** Each part is asked for by itself, so that one that hangs or fails does not hide the others. */
export const viewNic = (
  nic: GuestNic,
  { bridge, gateway, table }: { bridge: string; gateway: string; table: string },
): NicView => ({
  tap: async () => {
    const [links, ports, entries] = await Promise.all([
      ask(link, "ip", "-s", "link", "show", "dev", nic.tap),
      ask(port, "bridge", "-d", "link", "show", "dev", nic.tap),
      ask(forwardingEntry, "bridge", "fdb", "show", "brport", nic.tap),
    ]);
    const found = links[0];
    if (!found) return null;
    return {
      isUp: found.flags.includes("UP"),
      hasCarrier: found.flags.includes("LOWER_UP"),
      bridge: found.master ?? null,
      isIsolated: ports[0]?.isolated ?? false,
      hasForwardingEntry: entries.some(({ mac }) => mac === nic.mac),
      framesFromGuest: found.stats64?.rx.packets ?? 0,
      framesToGuest: found.stats64?.tx.packets ?? 0,
    };
  },
  bridge: async () => {
    const found = (await ask(link, "ip", "link", "show", "dev", bridge))[0];
    return found ? { isUp: found.flags.includes("UP"), addresses: await addressesOf(bridge) } : null;
  },
  neighbour: async () => {
    const entry = (await neighboursOn(bridge)).find(({ dst }) => dst === nic.address);
    return entry ? { mac: entry.lladdr ?? "", state: entry.state.join(" ") } : null;
  },
  firewall: async () => {
    const [guests, counters] = await Promise.all([admittedGuests(table), readCounters(table)]);
    if (guests === undefined || counters === undefined) return null;
    return { isAdmitted: guests.some(({ address, mac }) => address === nic.address && mac === nic.mac), counters };
  },
  foreignDrops: async () => {
    // Our own table, too: somebody may have put a rule into it.
    const paths = { table: undefined, bridge, gateway, guest: nic.address, tap: nic.tap, uplink: undefined };
    const drops = await guestDrops(paths);
    return drops
      .filter(({ isSure }) => isSure)
      .map(({ what, family, table: owner, chain, by, keepsHostOut }) => ({
        text: `${what}: ${family} ${owner} ${chain}: ${by}`,
        keepsHostOut,
      }));
  },
  legacyTables,
  isForwarding: async () => (await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() === "1",
});

const packets = z.object({ packets: z.number() });
const link = z.object({
  flags: z.array(z.string()),
  master: z.string().optional(),
  stats64: z.object({ rx: packets, tx: packets }).optional(),
});
const port = z.object({ isolated: z.boolean().optional() });
const forwardingEntry = z.object({ mac: z.string() });

/** Parsed answer of a query; empty where the interface does not exist. */
const ask = async <T>(shape: z.ZodType<T>, tool: "ip" | "bridge", ...args: string[]): Promise<T[]> => {
  const { stdout, stderr } = await runTool(tool, ["-j", ...args], { timeoutMs: TIMEOUT_MS, okCodes: [1, 255] });
  if (/does not exist|Cannot find (?:bridge )?device|No such device/.test(stderr)) return [];
  const entries = z.array(z.record(z.string(), z.unknown())).parse(JSON.parse(stdout.trim() || "[]"));
  return z.array(shape).parse(entries.filter((entry) => Object.keys(entry).length > 0));
};
