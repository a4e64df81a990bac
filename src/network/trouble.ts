/** What can be wrong with the host's side of a guest's network. Judged here for all: the controller mends it, diagnosis and doctor tell of it. Pure. */
import type { HostFacts } from "../contract/diagnosis.ts";
import type { NeighbourView, TapView } from "./view.ts";

/** What was not looked at, or could not be, is left out. */
type SeenOnHost = Pick<HostFacts, "bridge" | "tap" | "neighbour" | "firewall" | "isForwarding" | "isResolving">;
type Judged = Omit<SeenOnHost, "tap"> & { tap?: TapView | null };

type Expected = Record<"bridge" | "gateway" | "mac", string>;

/** By the code of its verdict. */
const SIGNS = {
  "bridge-missing": ({ bridge }) => bridge === null,
  "bridge-down": ({ bridge }) => bridge?.isUp === false,
  "bridge-without-address": ({ bridge }, { gateway }) =>
    bridge?.addresses.some((address) => address.startsWith(`${gateway}/`)) === false,
  "tap-missing": ({ tap }) => tap === null,
  "tap-not-on-bridge": ({ tap }, { bridge }) => !!tap && tap.bridge !== bridge,
  "tap-down": ({ tap }) => tap?.isUp === false,
  "tap-not-isolated": ({ tap }) => tap?.isIsolated === false,
  "tap-not-open": ({ tap }) => tap?.isUp === true && !tap.hasCarrier,
  "forwarding-entry-missing": ({ tap }) => tap?.hasForwardingEntry === false,
  "neighbour-missing": ({ neighbour }, { mac }) =>
    neighbour !== undefined && !(neighbour?.mac === mac && isFixed(neighbour)),
  "firewall-table-missing": ({ firewall }) => firewall === null,
  "firewall-drops-guest": ({ firewall }) => firewall?.isAdmitted === false,
  "forwarding-off": ({ isForwarding }) => isForwarding === false,
  "resolver-gone": ({ isResolving }) => isResolving === false,
} satisfies Record<string, (seen: Judged, expected: Expected) => boolean>;

export type HostTrouble = keyof typeof SIGNS;

/** Of a TAP that waits in its namespace nothing is wrong: it comes to the bridge last. */
export const troublesOf = ({ tap, ...rest }: SeenOnHost, expected: Expected): HostTrouble[] => {
  const seen: Judged = tap === undefined || tap === "waiting" ? rest : { ...rest, tap };
  return (Object.keys(SIGNS) as HostTrouble[]).filter((trouble) => SIGNS[trouble](seen, expected));
};

/** Entries that the kernel made by itself don't count: it may ask again, and believe whoever answers. */
export const isFixed = (neighbour: NeighbourView | null): boolean =>
  neighbour !== null && neighbour.state.split(" ").includes("PERMANENT");

/** Nothing is wrong with a TAP that `join` would put right. */
export const isPortRight = (tap: TapView, bridge: string): boolean =>
  troublesOf({ tap }, { bridge, gateway: "", mac: "" }).every((trouble) => trouble === "tap-not-open");
