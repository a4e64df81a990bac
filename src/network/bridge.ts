/** The bridge that all guests hang on, with the gateway's address on the host's side. */
import { AppError } from "../lib/errors.ts";
import { asWord, change, type HostLinks, takeAway } from "./ip.ts";
import { formatRange, macOf, overlaps, parseRange } from "../lib/ipv4.ts";
import type { Range } from "./lease.ts";
import { setSysctl, setSysctlIfThere } from "./sysctl.ts";
import { ofAnother } from "./tool.ts";
import { bridgeView } from "./view.ts";

export interface BridgeOptions extends Range {
  bridge: string;
  /** Kept as the bridge's alias: whose it is. */
  owner: string;
}

/**
 * The bridge exists, is up and has the gateway's address afterwards. Throws AppError `bridge-taken` where the name
 * belongs to something else, `range-taken` where the host already reaches the range another way.
 */
export const ensureBridge = async (options: BridgeOptions, host: HostLinks): Promise<void> => {
  refuseTakenRange(options, host.routes);
  const { bridge, gateway, prefixLength, owner } = options;
  const { isThere, isOurs, taken } = whoseBridge(options, host);
  if (taken) throw taken;
  const { isUp = false, addresses = [] } = bridgeView(host, bridge) ?? {};
  const wanted = `${gateway}/${prefixLength}`;
  await change("ip", [
    // A bridge without a fixed MAC takes over the lowest of its ports, so that guests would lose their gateway whenever a TAP
    // comes or goes. And it is given at creation, in one step, so that our bridge can be told from another's even after a crash.
    ...(isThere ? [] : [`link add name ${bridge} address ${macOf(gateway)} type bridge stp_state 0 mcast_snooping 0`]),
    ...(isOurs ? [] : [`link set dev ${bridge} alias "${owner}"`]),
    // What somebody gave our bridge besides is theirs to take away (doctor says so), and keeps nothing from being mended.
    ...(addresses.includes(wanted) ? [] : [`address add ${wanted} dev ${bridge}`]),
  ]);
  // No IPv6 on the bridge: guests have none, and no link-local address of the host is there to talk to.
  await setSysctlIfThere(`net/ipv6/conf/${bridge}/disable_ipv6`, "1");
  // Answer ARP for the gateway only, not for the host's other addresses.
  await setSysctl(`net/ipv4/conf/${bridge}/arp_ignore`, "1");
  if (!isUp) await change("ip", [`link set dev ${bridge} up`]);
};

/** Two controllers may share a host, but neither bridge nor table: the alias of the one, a mark in the other say whose they are. */
export const ownerOf = (resolverDirectory: string): string => `sallyport ${asWord(resolverDirectory)}`;

/** Another's is left alone. */
export const removeBridge = async (options: BridgeOptions, host: HostLinks): Promise<void> => {
  const { isThere, taken } = whoseBridge(options, host);
  if (isThere && !taken) await takeAway(`link delete dev ${options.bridge}`);
};

/** `isOurs`: it says so; one that a crash or an earlier version left without a name does not, and is not `taken` either. */
export const whoseBridge = ({ bridge, gateway, owner }: BridgeOptions, { links }: HostLinks) => {
  const found = links.find(({ ifname }) => ifname === bridge);
  const isMade = found?.linkinfo?.info_kind === "bridge" && found.address === macOf(gateway);
  const { ifalias } = found ?? {};
  const isOurs = isMade && ifalias === owner;
  const taken = isOurs ? undefined : found && takenBy(bridge, isMade, ifalias);
  return { isThere: found !== undefined, isOurs, taken };
};

const takenBy = (bridge: string, isMade: boolean, alias: string | undefined): AppError | undefined => {
  if (alias?.startsWith("sallyport ")) return ofAnother("bridge", `The bridge ${bridge}`, alias);
  if (isMade && !alias) return undefined;
  const sentence = `The interface ${bridge} exists already and was not made by Sallyport.`;
  return new AppError("conflict", "bridge-taken", sentence, {
    hint: `Give Sallyport another bridge name in the configuration (network.bridge), or if nobody needs it: ip link delete ${bridge}`,
  });
};

/** Throws AppError `range-taken`. */
export const refuseTakenRange = (
  { bridge, gateway, prefixLength }: BridgeOptions,
  routes: HostLinks["routes"],
): void => {
  const range = parseRange(`${gateway}/${prefixLength}`);
  const clash = routes.find(({ dst, dev }) => {
    if (dev === undefined || dev === bridge || dst === "default") return false;
    const other = parseRange(dst);
    // A route wider than /8 is a way out (a VPN's 0.0.0.0/1), not a network that could be shadowed.
    return other.prefixLength >= 8 && overlaps(other, range);
  });
  if (!clash) return;
  const sentence = `The guests' range ${formatRange(range)} overlaps ${clash.dst}, which this host reaches through ${clash.dev}.`;
  const hint = "Choose another range for the guests in the configuration (network.cidr).";
  throw new AppError("conflict", "range-taken", sentence, { hint });
};
