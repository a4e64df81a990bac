/** The program `nft`: one table of our own, changed in single transactions, never anybody else's rules. */
import { z } from "zod";
import { FIREWALL_COUNTERS, firewallScript, guestElement, markOf, proveOwner } from "./firewall-rules.ts";
import type { Admission, FirewallCounter, FirewallOptions } from "./firewall-rules.ts";
import type { GuestNic } from "./guest-nic.ts";
import { ofAnother, runTool, TIMEOUT_MS, unlessSaid } from "./tool.ts";

/**
 * The whole table as it should be, at once. Counters and guests already let through stay, and `guests` are added. The bridge has
 * to be known as ours. Throws AppError `table-taken` where the table is another controller's.
 */
export const applyFirewall = async (options: FirewallOptions, guests: GuestNic[]): Promise<void> => {
  if (await refreshFirewall(options, guests)) return;
  // An older version's table, or a meddler's. Guests not in `guests` are cut off until they are prepared again.
  await nft(firewallScript(options, guests, "replace"));
};

/** As `applyFirewall`; false, and nothing done, where a table of another shape is in the way. */
export const refreshFirewall = async (options: FirewallOptions, guests: GuestNic[]): Promise<boolean> => {
  const put = (mode: "keep" | "adopt" | "make"): Promise<true> =>
    nft(firewallScript(options, guests, mode)).then(() => true);
  if (await unlessSaid(ABSENCE, unlessSaid(SHAPE_CONFLICT, put("keep"), false), false)) return true;
  const found = await readTable(options.table);
  if (!found) return put("make");
  refuseTakenTable(found, options);
  return found.owner === undefined && unlessSaid(SHAPE_CONFLICT, put("adopt"), false);
};

/** Throws AppError `table-taken`. */
export const refuseTakenTable = (found: TableView, us: Pick<FirewallOptions, "table" | "bridge" | "owner">): void => {
  if (isTableOurs(found, us)) return;
  const whose = found.owner?.name ?? `its rules are for ${found.interfaces[0]}`;
  throw ofAnother("table", `The nftables table ${us.table}`, whose);
};

/** By its mark; one of an earlier version has none, and is the controller's whose bridge it names. */
export const isTableOurs = (
  { owner, interfaces }: TableView,
  us: Pick<FirewallOptions, "bridge" | "owner">,
  isBridgeTaken = false,
): boolean =>
  owner
    ? owner.mark === markOf(us.owner)
    : !isBridgeTaken && (interfaces.length === 0 || interfaces.includes(us.bridge));

export const admitGuests = (options: Pick<FirewallOptions, "table" | "owner">, nics: GuestNic[]): Promise<void> =>
  nft(`${proveOwner(options)}\n${nics.map((nic) => element("add", options.table, nic)).join("")}`);

/** `add` first: what is not there can't be deleted, and this way it is one transaction and no question. */
export const expelGuests = (table: string, nics: Admission[]): Promise<void> => {
  const script = nics.flatMap((nic) => [element("add", table, nic), element("delete", table, nic)]).join("");
  return unlessSaid(ABSENCE, nft(script), undefined);
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
    /** Undefined in a table of an earlier version, or a meddler's. */
    owner: entries
      .map(({ map }) => (map?.name === "owner" ? ownerMap.safeParse(map.elem).data : undefined))
      .find(Boolean),
    /** That its rules are for. */
    interfaces: entries
      .flatMap(({ rule }) => rule?.expr ?? [])
      .flatMap((part) => ofInterface.safeParse(part).data?.match.right ?? []),
    /** The guests that the firewall lets pass. */
    guests: entries
      .flatMap(({ set }) => (set?.name === "guests" ? z.array(guest).parse(set.elem ?? []) : []))
      .map(({ concat: [address, mac] }) => ({ address, mac })),
    /** Packets since the table was made. */
    counters: Object.fromEntries(names.map((name) => [name, packets.get(name) ?? 0])) as CounterValues,
  };
};

/** `add` first: a table that is not there can't be deleted, and this way it is one transaction and no question. */
export const removeFirewall = (table: string): Promise<void> =>
  nft(`add table inet ${table}\ndelete table inet ${table}\n`);

type CounterValues = Record<FirewallCounter, number>;
const guest = z.object({ concat: z.tuple([z.string(), z.string()]) });
const ownerMap = z
  .tuple([z.tuple([z.object({ elem: z.object({ comment: z.string() }) }), z.number()])])
  .transform(([[{ elem }, mark]]) => ({ name: elem.comment, mark }));
const ofInterface = z.object({
  match: z.object({ left: z.object({ meta: z.object({ key: z.enum(["iifname", "oifname"]) }) }), right: z.string() }),
});
const listing = z.object({
  nftables: z.array(
    z.object({
      set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
      map: z.object({ name: z.string(), elem: z.unknown() }).optional(),
      rule: z.object({ expr: z.array(z.unknown()) }).optional(),
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
