import type { GuestNic } from "./guest-nic.ts";
import type { NicView } from "./view.ts";

/** What is left of a guest on the host, by ledger kind. */
export interface NicPresence {
  tap: boolean;
  firewall: boolean;
  neighbour: boolean;
}

/** The host's side of every guest's network. Implemented by linux.ts; a fake for tests keeps a set in memory. */
export interface Network {
  readonly bridge: string;
  /** Gateway address, prefix length and resolver that a guest is told. */
  readonly gateway: string;
  readonly prefixLength: number;
  /** Bridge, forwarding, firewall table and resolver exist afterwards. Idempotent; mends what somebody removed. */
  ensure(): Promise<void>;
  /** TAP on the bridge, isolated and pinned to the guest's MAC, and the firewall lets exactly that guest pass. Idempotent. */
  attach(nic: GuestNic): Promise<void>;
  /** Removes all of `attach`. Idempotent. */
  detach(nic: GuestNic): Promise<void>;
  presence(nic: GuestNic): Promise<NicPresence>;
  /** Everything of `ensure` and `attach` as it is now, for diagnosis. */
  view(nic: GuestNic): NicView;
  /** TAPs that carry our prefix, owned or not. */
  listTaps(): Promise<string[]>;
  removeTap(tap: string): Promise<void>;
  /** Removes bridge, table and resolver. Only when no guest is left. */
  teardown(): Promise<void>;
}
