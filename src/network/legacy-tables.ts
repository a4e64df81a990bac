/** Tables of the old iptables, which the kernel keeps beside nftables: `nft` does not list what is in them. */
import { readFile } from "node:fs/promises";
import { unlessMissing } from "../lib/unless-missing.ts";

/** Names of the IPv4 tables, also of one without rules; needs root. None where the kernel does not have them at all. */
export const legacyTables = async (): Promise<string[]> =>
  (await unlessMissing(readFile("/proc/net/ip_tables_names", "utf8"), "")).split("\n").filter(Boolean);
