/** Whether each running microVM still hangs on the bridge as it was hung there. */
import { PORT_OPTIONS } from "../network/tap.ts";
import { ok, problem, warning } from "./check.ts";
import type { Answer, Check } from "./check.ts";
import type { Link, RunningGuest } from "./host.ts";

export const taps: Check = {
  name: "taps",
  needsRoot: true,
  look: async ({ network, guests, links }) => {
    const running = await guests();
    const all = await links();
    const wrong = running.flatMap((guest) => {
      const link = all.find(({ ifname }) => ifname === guest.tap);
      return link ? look(guest, link, network.bridge) : [missing(guest)];
    });
    if (wrong.length > 0) return wrong;
    return ok(
      running.length === 0
        ? "No microVM is running."
        : `${running.length} running: each TAP is up, on ${network.bridge} and isolated.`,
    );
  },
};

const missing = ({ vmId, tap }: RunningGuest): Answer =>
  problem(
    `MicroVM ${vmId} has lost its TAP ${tap}: its network can't come back.`,
    "sallyport ls --vms, then sallyport destroy SESSION",
  );

const look = ({ vmId, tap, mac }: RunningGuest, link: Link, bridge: string): Answer[] => {
  const rejoin =
    `ip link set dev ${tap} master ${bridge} && bridge link set dev ${tap} ${PORT_OPTIONS.join(" ")} ` +
    `&& bridge fdb replace ${mac} dev ${tap} master static`;
  if (link.master !== bridge) {
    const where = link.master ? `on ${link.master}` : "on no bridge";
    return [problem(`The TAP ${tap} of microVM ${vmId} is ${where} and not on ${bridge}.`, rejoin)];
  }
  if (!link.flags.includes("UP")) {
    return [problem(`The TAP ${tap} of microVM ${vmId} is down.`, `ip link set dev ${tap} up`)];
  }
  const { isolated, locked } = link.linkinfo?.info_slave_data ?? {};
  return [
    ...(isolated && locked
      ? []
      : [problem(`The TAP ${tap} of microVM ${vmId} is not kept apart from other guests.`, rejoin)]),
    ...(link.flags.includes("LOWER_UP")
      ? []
      : [warning(`Nobody has the TAP ${tap} open: microVM ${vmId} is just starting, or its TAP was made anew.`)]),
  ];
};
