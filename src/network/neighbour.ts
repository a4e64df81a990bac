/** Fixed entries in the host's neighbour table: the host never asks by ARP who a guest is, so no guest can lie about it. */
import { ip, ipRemove, neighboursOn } from "./ip.ts";
import type { GuestNic } from "./guest-nic.ts";

export const pinNeighbour = ({ address, mac }: GuestNic, bridge: string): Promise<void> =>
  ip("neigh", "replace", address, "lladdr", mac, "dev", bridge, "nud", "permanent");

export const unpinNeighbour = ({ address }: GuestNic, bridge: string): Promise<void> =>
  ipRemove("neigh", "delete", address, "dev", bridge);

/** Entries that the kernel made by itself don't count: asking after a guest that is gone leaves a FAILED one for a while. */
export const isPinned = async ({ address }: GuestNic, bridge: string): Promise<boolean> =>
  (await neighboursOn(bridge)).some((entry) => entry.dst === address && entry.state.includes("PERMANENT"));
