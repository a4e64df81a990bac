/** What is changed for one guest, as lines for `ip` and `bridge`, so that one run of each does it for many. */
import { change, type ForwardingEntry, type HostLinks } from "./ip.ts";
import type { GuestNic } from "./guest-nic.ts";
import { joinLines, pinLine } from "./tap.ts";
import { isPortRight, troublesOf } from "./trouble.ts";
import { neighbourView, tapView } from "./view.ts";

/** The lines of `bridge` come after those of `ip`. */
export type Change = ReturnType<typeof joining>;

/** A fixed entry in the host's neighbour table: the host never asks by ARP who a guest is, so no guest can lie about it. */
export const pinNeighbour = ({ address, mac }: Pick<GuestNic, "address" | "mac">, bridge: string): string =>
  `neigh replace ${address} lladdr ${mac} dev ${bridge} nud permanent`;

export const joining = (nic: GuestNic, bridge: string) => ({ ip: joinLines(nic.tap, bridge), bridge: [pinLine(nic)] });

/** Pure. What is as it should be is left alone: a running guest would lose packets. */
export const mending = (
  { nic, isJoined }: { nic: GuestNic; isJoined: boolean },
  host: HostLinks,
  forwarding: ForwardingEntry[],
  expected: { bridge: string; gateway: string },
): Change => {
  const { bridge } = expected;
  const neighbour = neighbourView(host, nic, bridge);
  const isKnown = troublesOf({ neighbour }, { ...expected, mac: nic.mac }).length === 0;
  const tap = tapView(host, forwarding, nic, bridge);
  const { ip, bridge: ports } =
    isJoined && tap && !isPortRight(tap, bridge) ? joining(nic, bridge) : { ip: [], bridge: [] };
  return { ip: [...(isKnown ? [] : [pinNeighbour(nic, bridge)]), ...ip], bridge: ports };
};

/** All of them as one. */
export const joined = (changes: Change[]): Change => ({
  ip: changes.flatMap(({ ip }) => ip),
  bridge: changes.flatMap(({ bridge }) => bridge),
});

/** At most two programs. */
export const apply = async (changes: Change[]): Promise<void> => {
  for (const tool of ["ip", "bridge"] as const) {
    const lines = changes.flatMap((one) => one[tool]);
    await change(tool, lines);
  }
};

/** As `apply`; where that fails, each by itself, so that one guest keeps no other from being mended. Throws the first failure. */
export const applyEach = async (changes: Change[]): Promise<void> => {
  try {
    return await apply(changes);
  } catch (error) {
    if (changes.length < 2) throw error;
  }
  const failures: unknown[] = [];
  for (const one of changes) await apply([one]).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
};
