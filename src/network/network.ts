import type { GuestNic } from "./guest-nic.ts";
import type { NicView } from "./view.ts";

/**
 * The host's side of every guest's network. Implemented by linux.ts; the tests' fake keeps it in memory. Calls for one guest run
 * in their order, those for different guests beside each other; each ends within the deadlines of the programs it runs.
 */
export interface Network {
  readonly bridge: string;
  /** Gateway address, prefix length and resolver that a guest is told. */
  readonly gateway: string;
  readonly prefixLength: number;
  /** Bridge, forwarding, firewall table and resolver exist afterwards. Idempotent; no guest is looked at. */
  ensureHost(): Promise<void>;
  /** `ensureHost`, and what this process prepared and joined is as it was made: mends what somebody removed, but for TAPs. */
  ensure(): Promise<void>;
  /**
   * `ensureHost`, and its TAP exists, in a network namespace of its own, the firewall lets exactly that guest pass, and the host knows its MAC. No frame
   * passes yet. Idempotent, also for another process's guest: a TAP that waits in there, maybe open, is kept.
   */
  prepare(nic: GuestNic): Promise<void>;
  /** That namespace, from `prepare` on: its name, as in the ledger, and its file until `join`. */
  namespaceOf(nic: Pick<GuestNic, "tap">): { name: string; file: string };
  /**
   * Last, when the VMM has the TAP open: it leaves its namespace, which has no name then, and is on the bridge, isolated and pinned to
   * the guest's MAC. For a guest that has its own MAC and address by now; the MAC may be another than that of `prepare`, and takes its
   * place. Idempotent: a port that is right is left alone.
   */
  join(nic: GuestNic): Promise<void>;
  /** Removes all of `prepare` and `join`. Idempotent. */
  remove(nic: GuestNic): Promise<void>;
  presence(nic: GuestNic): Promise<NicPresence>;
  /** Everything of `ensureHost`, `prepare` and `join` as it is now, for diagnosis. */
  view(nic: GuestNic): NicView;
  /** Guests' things on this host that are ours, owned or not. */
  found(): Promise<FoundThing[]>;
  /** Idempotent. Throws AppError `guest-in-use` for a guest that this process prepared. */
  removeFound(thing: FoundThing): Promise<void>;
  /** Removes bridge, table and resolver. Throws AppError `guests-left` where a TAP is. */
  teardown(): Promise<void>;
}

/** What is left of a guest on the host, by ledger kind; an entry is its guest's by the address, whatever MAC it has. */
export type NicPresence = Record<"tap" | "netns" | "firewall" | "neighbour", boolean>;

export interface FoundThing {
  kind: keyof NicPresence;
  /** As in the ledger: the TAP's or the namespace's name, the address that the firewall lets pass, the MAC that the host knows. */
  ref: string;
  /** Where the thing itself says so. */
  vmId?: string;
}
