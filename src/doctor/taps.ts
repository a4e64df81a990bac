/** Whether each running microVM still hangs on the bridge as it was hung there. */
import { pinNeighbour } from "../network/guest.ts";
import { joinLines, pinLine } from "../network/tap.ts";
import { type HostTrouble, troublesOf } from "../network/trouble.ts";
import { bridgeView, neighbourView, seenTap } from "../network/view.ts";
import { ok, problem, warning, type Answer, type Check } from "./check.ts";
import { type RunningGuest, TOOL_MS } from "./host.ts";

export const taps: Check = {
  name: "taps",
  needsRoot: true,
  look: async ({ network, guests, links, forwarding }) => {
    const [running, host, entries] = await Promise.all([guests(), links(), forwarding()]);
    const { bridge } = network;
    // A bridge that is not right loses its entries, and is told of by itself.
    const isBridgeRight = troublesOf({ bridge: bridgeView(host, bridge) }, { ...network, mac: "" }).length === 0;
    const looked = running.map(async (guest) => ({
      guest,
      tap: await seenTap(guest, network, host, entries, TOOL_MS),
    }));
    const seen = await Promise.all(looked);
    const wrong = seen.flatMap(({ guest, tap }) => {
      const neighbour = isBridgeRight ? { neighbour: neighbourView(host, guest, bridge) } : {};
      const at = tap && tap !== "waiting" ? tap.bridge : null;
      const told = troublesOf({ tap, ...neighbour }, { ...network, mac: guest.mac }).flatMap(
        (trouble) => SAID[trouble]?.(guest, bridge, at) ?? [],
      );
      // A TAP that is gone or elsewhere is all there is to say of it: the rest comes of that.
      return at === bridge ? told : told.slice(0, 1);
    });
    if (wrong.length > 0) return wrong;
    const waiting = seen.filter(({ tap }) => tap === "waiting").length;
    const joined = seen.length - waiting;
    return ok(
      [
        ...(seen.length === 0 ? ["No microVM is running."] : []),
        ...(joined > 0 ? [`${joined} running: each TAP is up, on ${bridge} and isolated.`] : []),
        ...(waiting > 0
          ? [
              `${waiting} being started, or frozen as a warm snapshot: each TAP waits in a network namespace of its own.`,
            ]
          : []),
      ].join(" "),
    );
  },
};

type Say = (guest: RunningGuest, bridge: string, at: string | null) => Answer;

const SAID: Partial<Record<HostTrouble, Say>> = {
  "tap-missing": ({ vmId, tap }) =>
    problem(
      `MicroVM ${vmId} has lost its TAP ${tap}: its network can't come back.`,
      "sallyport ls --vms, then sallyport destroy SESSION",
    ),
  "tap-not-on-bridge": (guest, bridge, at) =>
    problem(`${tapOf(guest)} is ${at ? `on ${at}` : "on no bridge"} and not on ${bridge}.`, rejoin(guest, bridge)),
  "tap-down": (guest) => problem(`${tapOf(guest)} is down.`, `ip link set dev ${guest.tap} up`),
  "tap-not-isolated": (guest, bridge) =>
    problem(`${tapOf(guest)} is not kept apart from other guests.`, rejoin(guest, bridge)),
  "forwarding-entry-missing": (guest, bridge) =>
    problem(
      `${bridge} does not know that microVM ${guest.vmId} is behind the TAP ${guest.tap}: nothing reaches it.`,
      `bridge ${pinLine(guest)}`,
    ),
  "tap-not-open": ({ vmId, tap }) =>
    warning(`Nobody has the TAP ${tap} open: microVM ${vmId} is just starting, or its TAP was made anew.`),
  "neighbour-missing": (guest, bridge) =>
    problem(
      `This host does not know the MAC of microVM ${guest.vmId} (${guest.address}), and may not ask.`,
      `ip ${pinNeighbour(guest, bridge)}`,
    ),
};

const tapOf = ({ vmId, tap }: RunningGuest): string => `The TAP ${tap} of microVM ${vmId}`;

const rejoin = (guest: RunningGuest, bridge: string): string =>
  [...joinLines(guest.tap, bridge).map((line) => `ip ${line}`), `bridge ${pinLine(guest)}`].join(" && ");
