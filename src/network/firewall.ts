/** The program `nft`: one table of our own, changed in single transactions, never anybody else's rules. */
import { z } from "zod";
import { AppError } from "../lib/errors.ts";
import { FIREWALL_COUNTERS, firewallScript, guestElement } from "./firewall-rules.ts";
import type { FirewallCounter, FirewallOptions } from "./firewall-rules.ts";
import type { GuestNic } from "./guest-nic.ts";
import { runTool } from "./tool.ts";

/** The whole table as it should be, at once. Counters and guests already let through stay, and `guests` are added. */
export const applyFirewall = async (options: FirewallOptions, guests: GuestNic[]): Promise<void> => {
  try {
    await nft(firewallScript(options, guests, "keep"));
  } catch (error) {
    if (!isShapeConflict(error)) throw error;
    // An older version's table, or a meddler's. Guests not in `guests` are cut off until they are attached again.
    await nft(firewallScript(options, guests, "replace"));
  }
};

export const admitGuest = (table: string, nic: GuestNic): Promise<void> =>
  nft(`add element inet ${table} guests { ${guestElement(nic)} }\n`);

export const expelGuest = async (table: string, nic: GuestNic): Promise<void> => {
  if (await isAdmitted(table, nic)) await nft(`delete element inet ${table} guests { ${guestElement(nic)} }\n`);
};

export const isAdmitted = async (table: string, { address, mac }: GuestNic): Promise<boolean> =>
  (await admittedGuests(table))?.some((guest) => guest.address === address && guest.mac === mac) ?? false;

/** The guests that the firewall lets pass; undefined when there is no table. */
export const admittedGuests = async (table: string): Promise<{ address: string; mac: string }[] | undefined> => {
  const raw = await query("set", "inet", table, "guests");
  if (raw === undefined) return undefined;
  const elements = guestsListing.parse(raw).nftables.flatMap((entry) => entry.set?.elem ?? []);
  return elements.map(({ concat: [address = "", mac = ""] }) => ({ address, mac }));
};

/** Packets per counter since the table was made; undefined when there is no table. */
export const readCounters = async (table: string): Promise<Record<FirewallCounter, number> | undefined> => {
  const raw = await query("counters", "table", "inet", table);
  if (raw === undefined) return undefined;
  const found = new Map(
    countersListing.parse(raw).nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
  );
  const names = Object.keys(FIREWALL_COUNTERS) as FirewallCounter[];
  return Object.fromEntries(names.map((name) => [name, found.get(name) ?? 0])) as Record<FirewallCounter, number>;
};

/** `add` first: a table that is not there can't be deleted, and this way it is one transaction and no question. */
export const removeFirewall = (table: string): Promise<void> =>
  nft(`add table inet ${table}\ndelete table inet ${table}\n`);

const guestsListing = z.object({
  nftables: z.array(
    z.object({ set: z.object({ elem: z.array(z.object({ concat: z.array(z.string()) })).optional() }).optional() }),
  ),
});

const countersListing = z.object({
  nftables: z.array(z.object({ counter: z.object({ name: z.string(), packets: z.number() }).optional() })),
});

const nft = async (script: string): Promise<void> => {
  await runTool("nft", ["-f", "-"], { input: script });
};

/** Parsed JSON of `nft list`, or undefined when the object does not exist. */
const query = async (...what: string[]): Promise<unknown> => {
  try {
    return JSON.parse((await runTool("nft", ["-j", "list", ...what])).stdout);
  } catch (error) {
    if (error instanceof AppError && error.message.includes("No such file or directory")) return undefined;
    throw error;
  }
};

const isShapeConflict = (error: unknown): boolean =>
  error instanceof AppError &&
  /File exists|Device or resource busy|Operation not supported|Invalid argument|Datatype mismatch/.test(error.message);
