/** Text of the firewall table: pure, so that it can be read and tested as a whole. */
import { createHash } from "node:crypto";
import { formatRange, parseRange } from "../lib/ipv4.ts";
import type { GuestNic } from "./guest-nic.ts";
import type { Range } from "./lease.ts";

export interface FirewallOptions extends Range {
  bridge: string;
  /** Name of the nftables table; one per controller on this host, like the bridge. */
  table: string;
  /** Kept in the table: whose it is. As the bridge's. */
  owner: string;
  /** Ranges that guests may reach although they are private, `a.b.c.d/p`. */
  allow: string[];
  /** Users that VMMs run as, first and last: they have no business on any network of the host. */
  vmmUids: [number, number];
  /** The one user that may speak to guests: the controller's own. */
  controllerUid: number;
}

/** What each counter counts, for diagnosis: packets of guests that were refused, or passed. */
export const FIREWALL_COUNTERS = {
  ipv6_refused: "IPv6 from a guest",
  spoofed: "IPv4 from a guest with an address or MAC that is not its own",
  dns: "new name queries to the host's resolver",
  host_refused: "to the host itself, other than name queries",
  neighbour_refused: "to another guest by way of the host",
  private_refused: "to a private, link-local or otherwise special range",
  inbound_refused: "to a guest, from outside, unasked",
  local_refused: "to a guest, from a user of this host who is not the controller",
  vmm_refused: "to anywhere, from a VMM's user",
  forwarded: "new connections of guests to the internet",
  returned: "answers from the internet to guests",
} as const;
export type FirewallCounter = keyof typeof FIREWALL_COUNTERS;

/**
 * Special-purpose ranges (RFC 6890), private, shared, link-local with the cloud metadata address, multicast. The
 * documentation ranges (TEST-NET) are left out: nobody routes them, and the tests' internet lives there.
 */
export const BLOCKED_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Public addresses that are not the internet: Azure's wire server (its metadata), 6to4 relays.
  "168.63.129.16/32",
  "192.88.99.0/24",
];

/**
 * Script for `nft -f`, one transaction, refused by the kernel where the table is not as the mode has it. `keep`: there, and
 * marked as ours. It flushes the rules but not the set of guests nor the counters, so that mending does not cut off a guest that
 * this process does not know (yet). `adopt`: the same, for a table without a mark. `make`: not there. `replace` starts from
 * nothing, for one whose chains or sets have another shape.
 *
 * An `accept` here ends only this table's chain: a `drop` elsewhere (Docker's FORWARD policy, ufw's INPUT) still drops.
 * Then `forwarded` counts up and `returned` stays at 0.
 */
export const firewallScript = (options: FirewallOptions, guests: GuestNic[], mode: keyof typeof BEGINNINGS): string => {
  const { table, bridge, gateway } = options;
  const guestRange = formatRange(parseRange(`${gateway}/${options.prefixLength}`));
  const ranges = `type ipv4_addr; flags interval; auto-merge;`;
  return `
${BEGINNINGS[mode](options)}
${["blocked", "allowed"].map((set) => `add set inet ${table} ${set} { ${ranges} }\nflush set inet ${table} ${set}`).join("\n")}
table inet ${table} {
${Object.keys(FIREWALL_COUNTERS)
  .map((name) => `  counter ${name} { }`)
  .join("\n")}
  map owner {
    type mark : mark
    elements = { ${ownerElement(options)} }
  }
  set guests {
    type ipv4_addr . ether_addr
    ${elements(guests.map(guestElement))}
  }
  set blocked {
    ${ranges}
    ${elements(BLOCKED_RANGES)}
  }
  set allowed {
    ${ranges}
    ${elements(options.allow.map((range) => formatRange(parseRange(range))))}
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" meta nfproto ipv6 counter name ipv6_refused drop
    iifname "${bridge}" ip saddr . ether saddr != @guests counter name spoofed drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != "${bridge}" accept
    ct state established,related accept
    ip daddr ${gateway} udp dport 53 counter name dns accept
    ip daddr ${gateway} tcp dport 53 counter name dns accept
    counter name host_refused drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${bridge}" oifname "${bridge}" counter name neighbour_refused drop
    iifname "${bridge}" ip daddr != @allowed ip daddr @blocked counter name private_refused drop
    # Guests take 1500 bytes for granted; the way out may be narrower, and ICMP from there may be filtered.
    iifname "${bridge}" tcp flags syn tcp option maxseg size set rt mtu
    oifname "${bridge}" tcp flags syn tcp option maxseg size set rt mtu
    iifname "${bridge}" ct state new counter name forwarded accept
    iifname "${bridge}" accept
    oifname "${bridge}" ct state established,related counter name returned accept
    oifname "${bridge}" counter name inbound_refused drop
  }
  # The screen asks for no password: whoever may connect to it has it. A packet without a socket is the kernel's own.
  chain output {
    type filter hook output priority filter; policy accept;
    meta skuid ${options.vmmUids[0]}-${options.vmmUids[1]} counter name vmm_refused drop
    oifname != "${bridge}" accept
    ip saddr ${gateway} udp sport 53 accept
    ip saddr ${gateway} tcp sport 53 accept
    meta skuid != ${options.controllerUid} counter name local_refused drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${guestRange} oifname != "${bridge}" masquerade
  }
}
`;
};

/** Refused by the kernel where the table is marked as another's, or not at all. */
export const proveOwner = (options: Pick<FirewallOptions, "table" | "owner">): string =>
  `add element inet ${options.table} owner { ${ownerElement(options)} }`;

const BEGINNINGS = {
  keep: (options: FirewallOptions) => `${proveOwner(options)}\nflush table inet ${options.table}`,
  adopt: ({ table }: FirewallOptions) => `flush table inet ${table}`,
  make: ({ table }: FirewallOptions) => `create table inet ${table}`,
  replace: ({ table }: FirewallOptions) =>
    `add table inet ${table}\ndelete table inet ${table}\nadd table inet ${table}`,
};

/** A number, so that another one at the same key is a conflict; the comment, 128 bytes at most, is for people. */
const ownerElement = ({ owner }: Pick<FirewallOptions, "owner">): string =>
  `0 comment "${owner.slice(0, 120)}" : ${markOf(owner)}`;

export const markOf = (owner: string): number => createHash("sha256").update(owner).digest().readUInt32BE();

/** What the firewall lets a guest pass by. */
export type Admission = Pick<GuestNic, "address" | "mac">;

/** One element of the set `guests`. */
export const guestElement = ({ address, mac }: Admission): string => `${address} . ${mac}`;

// The syntax knows no empty list of elements.
const elements = (items: string[]): string => (items.length === 0 ? "" : `elements = { ${items.join(", ")} }`);
