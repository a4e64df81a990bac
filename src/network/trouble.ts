/** What can be wrong with the host's side of a guest's network. Judged here for all: the controller mends it, diagnosis and doctor tell of it. Pure. */
import type { BridgeView, FirewallView, NeighbourView, TapView } from "./view.ts";

export type HostTrouble =
  | "bridge-missing"
  | "bridge-down"
  | "bridge-without-address"
  | "tap-missing"
  | "tap-not-on-bridge"
  | "tap-down"
  | "tap-not-isolated"
  | "tap-not-open"
  | "forwarding-entry-missing"
  | "neighbour-missing"
  | "firewall-table-missing"
  | "firewall-drops-guest"
  | "forwarding-off";

/** What was not looked at, or could not be, is left out. */
export interface SeenOnHost {
  bridge?: BridgeView | null;
  tap?: TapView | null;
  neighbour?: NeighbourView | null;
  firewall?: Pick<FirewallView, "isAdmitted"> | null;
  isForwarding?: boolean;
}

/** Other troubles of a thing that is missing are not named. */
export const troublesOf = (
  { bridge, tap, neighbour, firewall, isForwarding }: SeenOnHost,
  expected: { bridge: string; gateway: string; mac: string },
): HostTrouble[] => {
  const found: Record<HostTrouble, boolean> = {
    "bridge-missing": bridge === null,
    "bridge-down": bridge?.isUp === false,
    "bridge-without-address": bridge?.addresses.some((address) => address.startsWith(`${expected.gateway}/`)) === false,
    "tap-missing": tap === null,
    "tap-not-on-bridge": !!tap && tap.bridge !== expected.bridge,
    "tap-down": tap?.isUp === false,
    "tap-not-isolated": tap?.isIsolated === false,
    "tap-not-open": tap?.isUp === true && !tap.hasCarrier,
    "forwarding-entry-missing": tap?.hasForwardingEntry === false,
    "neighbour-missing": neighbour !== undefined && !(neighbour?.mac === expected.mac && isFixed(neighbour)),
    "firewall-table-missing": firewall === null,
    "firewall-drops-guest": firewall?.isAdmitted === false,
    "forwarding-off": isForwarding === false,
  };
  return (Object.keys(found) as HostTrouble[]).filter((trouble) => found[trouble]);
};

/** Entries that the kernel made by itself don't count: it may ask again, and believe whoever answers. */
export const isFixed = (neighbour: NeighbourView | null): boolean =>
  neighbour !== null && neighbour.state.split(" ").includes("PERMANENT");

/** Of a TAP that is there and of its port: `join` puts them right. */
export const isPortRight = (tap: TapView, bridge: string): boolean =>
  troublesOf({ tap }, { bridge, gateway: "", mac: "" }).every((trouble) => trouble === "tap-not-open");
