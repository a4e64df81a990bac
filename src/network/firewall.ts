/** The program `nft`: one table of our own, changed in single transactions, never anybody else's rules. */
import { z } from "zod";
import { FIREWALL_COUNTERS, firewallScript, guestElement } from "./firewall-rules.ts";
import type { Admission, FirewallCounter, FirewallOptions } from "./firewall-rules.ts";
import type { GuestNic } from "./guest-nic.ts";
import { runTool, TIMEOUT_MS, unlessSaid } from "./tool.ts";

/** The whole table as it should be, at once. Counters and guests already let through stay, and `guests` are added. */
export const applyFirewall = async (options: FirewallOptions, guests: GuestNic[]): Promise<void> => {
  if (await refreshFirewall(options, guests)) return;
  // An older version's table, or a meddler's. Guests not in `guests` are cut off until they are prepared again.
  await nft(firewallScript(options, guests, "replace"));
};

/** As `applyFirewall`; false, and nothing done, where a table of another shape is in the way. */
export const refreshFirewall = async (options: FirewallOptions, guests: GuestNic[]): Promise<boolean> => {
  const done = nft(firewallScript(options, guests, "keep")).then(() => true);
  return unlessSaid(SHAPE_CONFLICT, done, false);
};

export const admitGuest = (table: string, nic: GuestNic): Promise<void> => nft(element("add", table, nic));

/** `add` first: what is not there can't be deleted, and this way it is one transaction and no question. */
export const expelGuest = async (table: string, nic: Admission): Promise<void> => {
  await unlessSaid(ABSENCE, nft(element("add", table, nic) + element("delete", table, nic)), undefined);
};

export type TableView = NonNullable<Awaited<ReturnType<typeof readTable>>>;

/** Undefined when there is no table. */
export const readTable = async (table: string, timeoutMs = TIMEOUT_MS) => {
  const asked = runTool("nft", ["-j", "list", "table", "inet", table], { timeoutMs });
  const result = await unlessSaid(ABSENCE, asked, undefined);
  if (!result) return undefined;
  const entries = listing.parse(JSON.parse(result.stdout)).nftables;
  const packets = new Map(entries.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])));
  const names = Object.keys(FIREWALL_COUNTERS) as FirewallCounter[];
  return {
    /** The guests that the firewall lets pass. */
    guests: entries
      .flatMap(({ set }) => (set?.name === "guests" ? z.array(guest).parse(set.elem ?? []) : []))
      .map(({ concat: [address, mac] }) => ({ address, mac })),
    /** Packets since the table was made. */
    counters: Object.fromEntries(names.map((name) => [name, packets.get(name) ?? 0])) as Record<
      FirewallCounter,
      number
    >,
  };
};

/** `add` first: a table that is not there can't be deleted, and this way it is one transaction and no question. */
export const removeFirewall = (table: string): Promise<void> =>
  nft(`add table inet ${table}\ndelete table inet ${table}\n`);

const guest = z.object({ concat: z.tuple([z.string(), z.string()]) });
const listing = z.object({
  nftables: z.array(
    z.object({
      set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
      counter: z.object({ name: z.string(), packets: z.number() }).optional(),
    }),
  ),
});

const element = (verb: "add" | "delete", table: string, nic: Admission): string =>
  `${verb} element inet ${table} guests { ${guestElement(nic)} }\n`;

const nft = async (script: string): Promise<void> => {
  await runTool("nft", ["-f", "-"], { input: script });
};

const ABSENCE = /No such file or directory/;
const SHAPE_CONFLICT = /File exists|Device or resource busy|Operation not supported|Invalid argument|Datatype mismatch/;
