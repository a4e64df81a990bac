/** What was looked at and found in order, in words: the proof of a healthy guest, and what an unknown cause is not. */
import type { Facts } from "../contract/diagnosis.ts";
import { GUEST_PORTS } from "../contract/guest.ts";
import { type HostTrouble, troublesOf } from "../network/trouble.ts";
import { hasOwnAddress, isReachable, nicOf } from "./rules/lines.ts";
import { MIN_DISK_FREE_MIB } from "./rules/vmm.ts";

/** Each look gives its sentence when that part is in order, else nothing; a part that could not be learned is not. */
export const foundInOrder = (facts: Facts): string[] =>
  LOOKS.map((look) => look(facts)).filter((sentence) => typeof sentence === "string");

/** Everything that a person at the screen needs. */
export const isHealthy = (facts: Facts): boolean =>
  facts.host.vmm.isAlive === true &&
  facts.guest?.browser === "painted" &&
  isReachable(facts) &&
  facts.host.reach?.rfb === "ok" &&
  hasOwnAddress(facts);

const isFreeOf = (
  seen: Parameters<typeof troublesOf>[0],
  expected: Facts["expected"],
  but: HostTrouble[] = [],
): boolean => troublesOf(seen, expected).every((trouble) => but.includes(trouble));

type Look = (facts: Facts) => string | boolean | null | undefined;

const LOOKS: Look[] = [
  ({ host }) =>
    host.vmm.isAlive &&
    !host.vmm.isStopped &&
    `the VMM runs as process ${host.vmm.pid}${host.vmm.machine === "running" ? ", and its machine runs by its own word" : ""}`,
  ({ host }) =>
    (host.diskFreeMib ?? 0) >= MIN_DISK_FREE_MIB &&
    host.memAvailableMib !== undefined &&
    `the host has ${host.diskFreeMib} MiB of disk free and ${host.memAvailableMib} MiB of memory available`,
  ({ console }) =>
    console.bytes > 0 &&
    console.panic === null &&
    console.oops === null &&
    console.mountFailure === null &&
    !console.isEmergencyShell &&
    `the console (${console.bytes} bytes, kernel ${console.kernelVersion ?? "unknown"}, last written ${console.lastLineAgeSec} s ago) shows no panic, failed mount or emergency shell`,
  ({ host, expected }) =>
    host.tap === "waiting" && `${expected.tap} waits in a network namespace of its own for its guest to run`,
  ({ host, expected }) =>
    host.tap &&
    host.tap !== "waiting" &&
    isFreeOf({ tap: host.tap }, expected, ["tap-not-open", "tap-not-isolated"]) &&
    `${expected.tap} is up, ${host.tap.hasCarrier ? "with carrier" : "without carrier"}, on ${expected.bridge}${host.tap.isIsolated ? ", isolated" : ""}; ${host.tap.framesFromGuest} frames from the guest, ${host.tap.framesToGuest} to it`,
  ({ host, expected }) =>
    host.bridge &&
    isFreeOf({ bridge: host.bridge }, expected) &&
    `${expected.bridge} is up with ${host.bridge.addresses.join(", ")}`,
  ({ host, expected }) =>
    host.neighbour &&
    isFreeOf({ neighbour: host.neighbour }, expected) &&
    `the host knows ${expected.address} as ${expected.mac} (${host.neighbour.state})`,
  ({ host, expected }) => host.isResolving && `the guests' resolver answers on ${expected.gateway}`,
  ({ host }) => host.firewall?.isAdmitted && "the firewall lets this guest pass",
  ({ host }) => host.foreignDrops?.length === 0 && "no other firewall rule is certain to drop its packets",
  ({ host, expected }) => host.isLeased && host.takenAddress === null && `${expected.address} is leased to it alone`,
  ({ guest }) =>
    guest && `the agent answers on the channel; the guest has been up for ${Math.round(guest.uptimeSec)} s`,
  (facts) => {
    const nic = nicOf(facts);
    return nic?.hasCarrier && nic.driver !== "" && `${nic.name} is there with driver ${nic.driver} and has carrier`;
  },
  ({ guest }) =>
    guest?.networkd?.operational === "routable" &&
    `networkd applies ${guest.networkd.networkFile || "no file"}: ${guest.networkd.operational}, ${guest.networkd.setup}`,
  (facts) => hasOwnAddress(facts) && `the guest has ${facts.expected.address}`,
  ({ guest, expected }) =>
    guest?.routes.some(({ destination, gateway }) => destination === "default" && gateway === expected.gateway) &&
    `its default route leads to ${expected.gateway}`,
  ({ guest }) =>
    guest &&
    guest.units.length > 0 &&
    guest.failedUnits.length === 0 &&
    `none of its ${guest.units.length} units failed`,
  ({ guest }) =>
    guest &&
    guest.memory.oomKills === 0 &&
    `${guest.memory.availableMib} of its ${guest.memory.totalMib} MiB of memory are available, ${guest.overlayUsedPercent} % of its disk is used`,
  (facts) =>
    isReachable(facts) && `http://${facts.expected.address}:${GUEST_PORTS.health}/health answers from the host`,
  ({ host }) => host.reach?.rfb === "ok" && `the screen greets on port ${GUEST_PORTS.rfb}`,
  ({ guest }) => guest?.browser === "painted" && "Firefox has painted its first page",
];
