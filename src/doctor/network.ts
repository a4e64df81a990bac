/** What the guests' network is made on: forwarding, TAPs at all, the range, the bridge. */
import { access, constants, open } from "node:fs/promises";
import { errnoOf } from "../lib/errors.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { BRIDGE_PORTS } from "../lib/user-range.ts";
import { refuseTakenRange, whoseBridge } from "../network/bridge.ts";
import { guestAddresses } from "../network/lease.ts";
import { troublesOf } from "../network/trouble.ts";
import { bridgeView, isForwarding } from "../network/view.ts";
import { ok, problem, warning, type Check } from "./check.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

export const forwarding: Check = {
  name: "forwarding",
  look: async ({ vmms, isRoot }) => {
    const mend = "sysctl -w net.ipv4.ip_forward=1";
    if (await isForwarding()) return ok("ip_forward is on.");
    if ((await vmms()).length > 0) return problem("ip_forward is off: running guests have no internet.", mend);
    if (isRoot && !(await isWritable(IP_FORWARD))) {
      return problem("ip_forward is off and can't be set from here: /proc/sys is read-only.", `on the host: ${mend}`);
    }
    return ok("ip_forward is off; Sallyport switches it on with the first session.");
  },
};

export const tun: Check = {
  name: "tun",
  look: async ({ isRoot }) => {
    try {
      await (await open("/dev/net/tun", "r+")).close();
      return ok("TAPs can be made.");
    } catch (error) {
      const code = errnoOf(error) ?? "";
      // Without udev the node is root's alone.
      if (["EACCES", "EPERM"].includes(code) && !isRoot) throw error;
      if (!["ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM"].includes(code)) throw error;
      return problem(
        `/dev/net/tun can't be opened (${code}): no TAP can be made.`,
        "modprobe tun; into a container hand the device with NET_ADMIN",
      );
    }
  },
};

export const range: Check = {
  name: "range",
  look: async ({ network, config, links }) => {
    refuseTakenRange(network, (await links()).routes);
    const count = guestAddresses(network).length;
    return ok(`${config.network.cidr} overlaps no route of another interface and has ${count} addresses for guests.`);
  },
};

export const bridge: Check = {
  name: "bridge",
  look: async ({ network, config, links, vmms }) => {
    const name = network.bridge;
    const host = await links();
    const found = host.links.find((link) => link.ifname === name);
    const seen = bridgeView(host, name);
    if (!found || !seen) {
      return (await vmms()).length > 0
        ? problem(`There is no bridge ${name}, and guests run: none can be reached.`, "restart the controller")
        : ok(`The name ${name} is free; the bridge is made with the first session.`);
    }
    const { taken } = whoseBridge(network, host);
    if (taken) throw taken;
    const wanted = config.network.cidr;
    const strange = seen.addresses.filter((address) => address !== wanted);
    const ports = host.links.filter(({ master }) => master === name).length;
    const troubles = troublesOf({ bridge: seen }, { ...network, mac: "" });
    const answers = [
      troubles.includes("bridge-without-address") &&
        problem(
          `${name} is without its address ${wanted}: guests have no gateway and this host no way to them.`,
          `ip address add ${wanted} dev ${name}`,
        ),
      ...strange.map((address) =>
        problem(`${name} has the address ${address} besides its own.`, `ip address delete ${address} dev ${name}`),
      ),
      troubles.includes("bridge-down") && problem(`${name} is down.`, `ip link set dev ${name} up`),
      ports >= BRIDGE_PORTS - 24 &&
        warning(`${name} has ${ports} of the ${BRIDGE_PORTS} ports that Linux allows.`, "sallyport reap"),
    ].filter((answer) => answer !== false);
    return answers.length > 0 ? answers : ok(`${name} is up with ${wanted}; ${ports} of ${BRIDGE_PORTS} ports in use.`);
  },
};

const isWritable = (file: string): Promise<boolean> => {
  const granted = access(file, constants.W_OK).then(() => true);
  return unlessMissing(granted, false, ["EACCES", "EPERM", "EROFS"]);
};
