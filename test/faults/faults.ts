/** The 24 faults that diagnosis must name: how each is made, and the verdict that is right. One row, one fault. */
import type { RuleCode } from "../../src/diagnosis/rules.ts";
import type { StartStage } from "../../src/contract/session.ts";
import type { HostBreak } from "./host-faults.ts";
import * as host from "./host-faults.ts";
import type { Sabotage } from "./sabotage.ts";

export interface Fault {
  number: number;
  title: string;
  verdict: RuleCode;
}

/** Made in a guest of its own, before it starts. */
export interface GuestFault extends Fault {
  sabotage: Sabotage;
  /** The session survives it: asked once this stage has passed. Otherwise the session must fail by itself. */
  askAfter?: StartStage;
}

/** Made on the host while a healthy guest runs. */
export interface HostFault extends Fault {
  make: HostBreak;
}

/** A row's title as it is on a clone. */
export const CLONE_MARK = "clone: ";
function onClone<Row extends Fault>(row: Row): Row {
  return { ...row, title: `${CLONE_MARK}${row.title}` };
}

/** Those with the longest deadlines first, so that the rest is done while they wait. */
export const GUEST_FAULTS: readonly GuestFault[] = [
  { number: 24, title: "Firefox crashing", verdict: "browser-crashing", sabotage: { inGuest: "browser-crash" } },
  { number: 17, title: "agent crashes at start", verdict: "agent-crashes", sabotage: { inGuest: "agent-crash" } },
  {
    number: 1,
    title: "10-eth0.network with DHCP beside a static ip=",
    verdict: "network-file-overrides",
    sabotage: { inGuest: "network-file" },
  },
  { number: 2, title: "ip= missing", verdict: "ip-parameter-missing", sabotage: { ip: null } },
  {
    number: 3,
    title: "ip=…:on",
    verdict: "ip-parameter-asks-dhcp",
    // The address stands beside the DHCP that nobody answers: reachable, and for ever `configuring`.
    sabotage: { ip: [":off$", ":on"] },
    askAfter: "reachable",
  },
  {
    number: 4,
    title: "ip= for another device name",
    verdict: "ip-parameter-other-device",
    sabotage: { ip: [":eth0:", ":ens3:"] },
  },
  { number: 5, title: "NIC left out of the VM", verdict: "nic-missing", sabotage: { hasNic: false } },
  {
    number: 6,
    title: "network driver module missing",
    verdict: "nic-driver-missing",
    sabotage: { inGuest: "no-driver" },
  },
  { number: 7, title: "networkd masked", verdict: "networkd-masked", sabotage: { inGuest: "networkd-masked" } },
  {
    number: 8,
    title: "a set-up unit of the image not enabled",
    verdict: "setup-unit-not-enabled",
    sabotage: { inGuest: "setup-not-enabled" },
  },
  {
    number: 9,
    title: "a set-up script not executable",
    verdict: "setup-script-not-executable",
    sabotage: { inGuest: "setup-not-executable" },
  },
  {
    number: 10,
    title: "a unit's output not on the console",
    verdict: "unit-output-not-on-console",
    sabotage: { inGuest: "setup-not-on-console" },
    askAfter: "reachable",
  },
  {
    number: 11,
    title: "wrong gateway",
    verdict: "gateway-wrong",
    sabotage: { ip: ["::[0-9.]+:", "::192.168.100.254:"] },
    askAfter: "reachable",
  },
  {
    number: 18,
    title: "agent listens on loopback only",
    verdict: "agent-on-loopback",
    sabotage: { inGuest: "agent-on-loopback" },
  },
  { number: 19, title: "guest out of memory in boot", verdict: "out-of-memory", sabotage: { memoryMib: 96 } },
  {
    number: 20,
    title: "root file system damaged (kernel panic)",
    verdict: "root-file-system-damaged",
    sabotage: { damagedFile: "/usr/lib/x86_64-linux-gnu/libc.so.6" },
  },
  { number: 23, title: "Xvnc not starting", verdict: "display-not-starting", sabotage: { inGuest: "no-display" } },
];

/** In this order, on one healthy guest, which must be healthy again after each. */
export const HOST_FAULTS: readonly HostFault[] = [
  { number: 13, title: "TAP not on the bridge", verdict: "tap-not-on-bridge", make: host.tapOffBridge },
  { number: 14, title: "bridge without its address", verdict: "bridge-without-address", make: host.bridgeAddressGone },
  { number: 15, title: "firewall drops the guest", verdict: "foreign-firewall-drops", make: host.foreignFirewall },
  { number: 15, title: "… it is not in our own set", verdict: "firewall-drops-guest", make: host.guestNotAdmitted },
  { number: 15, title: "… our own table is gone", verdict: "firewall-table-missing", make: host.tableGone },
  { number: 22, title: "host disk full", verdict: "host-disk-full", make: host.diskFull },
];

/** Beside that guest, a second one that takes its address. */
export const SAME_ADDRESS = (address: string): GuestFault => ({
  number: 16,
  title: "two guests with one address",
  verdict: "address-taken",
  sabotage: { ip: ["=[0-9.]+:", `=${address}:`] },
});

/** Of which a guest dies; nobody asks, the session must fail by itself. */
export const FATAL_FAULTS = {
  tapDown: { number: 12, title: "TAP down", verdict: "tap-down", make: host.tapDown },
  vmmKilled: { number: 21, title: "VMM killed", verdict: "vmm-killed", make: host.vmmKilled },
} satisfies Record<string, HostFault>;

/** Of these, some on clones of a warm snapshot, too: the host's in this order on one, which must be healthy after each; */
export const CLONE_HOST_FAULTS = HOST_FAULTS.filter(({ make }) => make !== host.diskFull).map(onClone);

const CLONE_GUESTS: HostFault[] = [
  { number: 11, title: "wrong gateway", verdict: "gateway-wrong", make: host.guestBroken("gateway") },
  { number: 23, title: "Xvnc not starting", verdict: "display-not-starting", make: host.guestBroken("no-display") },
  { number: 24, title: "Firefox crashing", verdict: "browser-crashing", make: host.guestBroken("browser-crash") },
];
/** each of these on one of its own, which is asked about; */
export const CLONE_GUEST_FAULTS = CLONE_GUESTS.map(onClone);

/** and of each of these one dies. */
export const CLONE_FATAL_FAULTS = Object.values(FATAL_FAULTS).map(onClone);

export const FAULT_COUNT = 24;
