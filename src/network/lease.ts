/** Address leases: a row in SQLite whose primary key is the address, so that two microVMs can never hold one. */
import { AppError } from "../lib/errors.ts";
import { sql } from "kysely";
import type { Db } from "../state/db.ts";
import { formatAddress, parseAddress } from "../lib/ipv4.ts";
import { BRIDGE_PORTS } from "../lib/user-range.ts";

export interface Range {
  /** The bridge's own address: the guests' gateway and name server. */
  gateway: string;
  prefixLength: number;
}

/** The configured `192.168.100.1/24` → the bridge's address and the length of its prefix. */
export const parseBridgeCidr = (cidr: string): Range => {
  const [gateway = "", prefix] = cidr.split("/");
  return { gateway, prefixLength: Number(prefix) };
};

/** Addresses that guests may have: from the second to the last but one of the range, without the gateway. */
export const guestAddresses = ({ gateway, prefixLength }: Range): string[] => {
  const size = 2 ** (32 - prefixLength);
  const network = parseAddress(gateway) - (parseAddress(gateway) % size);
  // A larger range is no use: the bridge has no more ports.
  const last = Math.min(size - 2, BRIDGE_PORTS - 2);
  const all = Array.from({ length: Math.max(last - 1, 0) }, (_, i) => formatAddress(network + 2 + i));
  return all.filter((address) => address !== gateway);
};

/** Position in the range: the last number of the address for a /24. Distinct per guest, stable, small. */
export const hostNumber = (address: string, { prefixLength }: Range): number =>
  parseAddress(address) % 2 ** (32 - prefixLength);

/**
 * Leases the free address that follows the one leased last, so that an address rests as long as possible before somebody
 * else gets it: late packets of a former guest find nobody. Throws AppError `pool-exhausted` (503, with Retry-After).
 */
export const leaseAddress = async (db: Db, range: Range, vmId: string): Promise<string> => {
  const taken = new Set((await db.selectFrom("leases").select("address").execute()).map((row) => row.address));
  const addresses = guestAddresses(range);
  const last = await db
    .selectFrom("vms")
    .select("address")
    .orderBy(sql`rowid`, "desc")
    .limit(1)
    .executeTakeFirst();
  const next = last ? addresses.indexOf(last.address) + 1 : 0;
  for (const address of [...addresses.slice(next), ...addresses.slice(0, next)]) {
    if (taken.has(address)) continue;
    const { numInsertedOrUpdatedRows } = await db
      .insertInto("leases")
      .values({ address, vmId, leasedAt: new Date().toISOString() })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (numInsertedOrUpdatedRows === 1n) return address;
  }
  throw new AppError("unavailable", "pool-exhausted", "Every address of this host is in use by a running browser.", {
    hint: "Try again when a session has ended, or configure a larger network.cidr.",
    retryAfterSec: 30,
  });
};

export const releaseAddress = async (db: Db, vmId: string): Promise<void> => {
  await db.deleteFrom("leases").where("vmId", "=", vmId).execute();
};

export const isLeased = async (db: Db, vmId: string): Promise<boolean> =>
  (await db.selectFrom("leases").select("address").where("vmId", "=", vmId).executeTakeFirst()) !== undefined;
