/** Causes in the guest's network, from the device upwards, by its own word, which needs no network. */
import type { Facts } from "../../contract/diagnosis.ts";
import { rules } from "../rule.ts";
import {
  addressLines,
  ipLine,
  ipParameter,
  isImages,
  isWithoutNic,
  journalLines,
  networkDevice,
  networkdLine,
  nicOf,
  someOf,
  unitLine,
  unitLines,
  unitOf,
  unitsWhere,
  type Unit,
} from "./lines.ts";

const NETWORKD = "systemd-networkd.service";
const GENERATOR = "systemd-network-generator.service";
/** Where systemd-network-generator puts what it makes of `ip=`, and where the agent puts a clone's. */
const GENERATED = "/run/systemd/network/";
/** systemd's own exit status for a program that could not be started. */
const EXIT_EXEC = 203;

export const GUEST_NETWORK_RULES = rules([
  {
    code: "nic-missing",
    recognisedBy: "the guest sees no network device on its bus",
    when: isWithoutNic,
    sentence: () => "The guest has no network card: the VMM was started without one.",
    evidence: (facts) => [
      linksLine(facts),
      `guest: virtio devices ${facts.guest?.virtioDevices.map(({ name, driver }) => `${name} (${driver || "no driver"})`).join(", ") || "none"}`,
    ],
    hint: "Compare the VMM's arguments in the microVM's config.json with docs/DATA-DIR.md: a virtio-net device has to be there.",
  },
  {
    code: "nic-driver-missing",
    recognisedBy: "there is a network device on the guest's bus that no driver has taken",
    when: (facts) => !!facts.guest?.links.length && !nicOf(facts) && networkDevice(facts)?.driver === "",
    sentence: () =>
      "The guest has a network card but no driver for it: the module virtio_net is missing or not loaded.",
    evidence: (facts) => [
      `guest: ${networkDevice(facts)?.name ?? ""} on the virtio bus is a network card without a driver`,
      linksLine(facts),
    ],
    hint: "The image's kernel has to bring virtio_net, and no modprobe configuration or kernel parameter may keep it out; build the image again.",
  },
  {
    code: "networkd-masked",
    recognisedBy: "systemd-networkd is masked, disabled and not running, or failed",
    when: (facts) => isOut(unitOf(facts, NETWORKD)),
    sentence: (facts) =>
      `systemd-networkd does not run in the guest (${wordFor(unitOf(facts, NETWORKD))}), and nobody else gives eth0 its address.`,
    evidence: (facts) => [...unitLines(facts, NETWORKD), ...journalLines(facts, ["networkd"]), ...addressLines(facts)],
    hint: "Take out of the image's recipe what masks or disables systemd-networkd.service, and build it again.",
  },
  {
    code: "network-file-overrides",
    recognisedBy: "the .network file in force on eth0 is not the one made from ip=, by networkd's own word",
    when: (facts) => networkFile(facts)?.startsWith(GENERATED) === false,
    sentence: (facts) =>
      `${networkFile(facts)} in the image configures eth0, not the kernel parameter ip=: systemd-networkd applies the first file that matches, and flushes what anybody else set. So eth0 does not keep ${facts.expected.address}.`,
    evidence: (facts) => [
      ...(facts.guest ? [networkdLine(facts), ipLine(facts), ...addressLines(facts)] : []),
      ...journalLines(facts, ["eth0"]),
      `console: networkd configures eth0 with ${facts.console.networkFile ?? "a file that it did not name"}`,
    ],
    hint: "Remove that file from the image's recipe: ip= is the one owner of eth0's set-up. Any 10-…network sorts before the generated 70-eth0.network.",
  },
  {
    code: "ip-parameter-missing",
    recognisedBy: "the kernel command line of a guest that booted has no ip=; a clone is told its address by its agent",
    when: (facts) => facts.plan === "boot" && !!facts.guest?.cmdline && ipParameter(facts) === undefined,
    sentence: () => "The guest's kernel was started without the parameter ip=, so nothing tells eth0 its address.",
    evidence: (facts) => [`guest: kernel command line ${facts.guest?.cmdline ?? ""}`, ...addressLines(facts)],
    hint: "The controller always passes it: compare the VMM's arguments in the microVM's config.json, and whoever changes them.",
  },
  {
    code: "ip-parameter-asks-dhcp",
    recognisedBy: "ip= does not end in :off or :none",
    when: (facts) => {
      const parameter = ipParameter(facts);
      return parameter !== undefined && !["off", "none"].includes(parameter.autoconf);
    },
    sentence: (facts) =>
      `The kernel parameter ip= ends in "${ipParameter(facts)?.autoconf || "nothing"}" instead of "off": the guest asks for DHCP, which nobody here answers, and eth0 is never finished.`,
    evidence: (facts) => [ipLine(facts), networkdLine(facts), ...addressLines(facts)],
    hint: "ip= has to end in :off. systemd-network-generator reads :on and :any as DHCP=yes, whatever the kernel makes of them.",
  },
  {
    code: "ip-parameter-other-device",
    recognisedBy: "ip= names another device than the guest's network card",
    when: (facts) => {
      const device = ipParameter(facts)?.device ?? "";
      const nic = nicOf(facts);
      return device !== "" && nic !== undefined && device !== nic.name;
    },
    sentence: (facts) =>
      `The kernel parameter ip= is for ${ipParameter(facts)?.device}, but the guest's network card is called ${nicOf(facts)?.name}.`,
    evidence: (facts) => [ipLine(facts), linksLine(facts), ...addressLines(facts)],
    hint: "Name the card as the guest does: eth0, which net.ifnames=0 keeps stable.",
  },
  {
    code: "setup-script-not-executable",
    recognisedBy: `a unit of the image ended with status ${EXIT_EXEC}: its program could not be started`,
    when: (facts) => notExecutable(facts).length > 0,
    sentence: (facts) =>
      `${names(notExecutable(facts))} could not start its program: the file is missing, not executable, or its interpreter is.`,
    evidence: (facts) => [
      ...notExecutable(facts).map(unitLine),
      ...journalLines(facts, [
        ...notExecutable(facts).map(({ name }) => name),
        "Failed to execute",
        "Permission denied",
      ]),
    ],
    hint: 'Give the file mode: "0755" in the image\'s recipe, check its first line (#!), and build the image again.',
  },
  {
    code: "setup-unit-not-enabled",
    recognisedBy:
      "a unit that the image brings is disabled and does not run; or systemd-network-generator is, and nobody else has made a .network file of ip=",
    when: (facts) => notEnabled(facts).length > 0,
    sentence: (facts) =>
      `${names(notEnabled(facts))} is in the image but not enabled, so it never runs${notEnabled(facts).some((unit) => unit.name === GENERATOR) ? ": nobody reads ip=, and eth0 gets no address" : ""}.`,
    evidence: (facts) => [...notEnabled(facts).map(unitLine), ...addressLines(facts)],
    hint: "Enable it in the image's recipe (commands: [systemctl, enable, UNIT]) or take it out, and build the image again.",
  },
]);

/** The guest's word; while it is silent networkd's, which writes to the console. */
const networkFile = ({ guest, console }: Facts): string | null =>
  (guest ? guest.networkd?.networkFile : console.networkFile) || null;

const linksLine = ({ guest }: Facts): string =>
  `guest: links ${guest?.links.map(({ name }) => name).join(", ") || "none"}`;

/** Not merely not started yet: masked, failed, or disabled and therefore never started. */
const isOut = (unit: Unit | undefined): boolean =>
  unit !== undefined &&
  unit.active !== "active" &&
  (unit.load === "masked" ||
    unit.active === "failed" ||
    ["disabled", "masked", "masked-runtime"].includes(unit.fileState));

const wordFor = (unit: Unit | undefined): string =>
  unit === undefined
    ? "not there"
    : unit.load === "masked"
      ? "masked"
      : unit.active === "failed"
        ? "failed"
        : unit.fileState;

const notExecutable = (facts: Facts): Unit[] =>
  unitsWhere(facts, ({ exitStatus, name }) => exitStatus === EXIT_EXEC && !name.startsWith("sallyport-"));

/** Without the generator an image may turn ip= into a .network file by itself. */
const notEnabled = (facts: Facts): Unit[] =>
  unitsWhere(
    facts,
    (unit) =>
      isOut(unit) &&
      unit.active !== "failed" &&
      (isImages(unit) || (unit.name === GENERATOR && !facts.guest?.networkd?.networkFile.startsWith(GENERATED))),
  );

const names = (units: Unit[]): string => someOf(units.map(({ name }) => name));
