/** Lines of evidence, and looks at facts, that several rules share. */
import type { Facts, GuestFacts } from "../../contract/diagnosis.ts";
import { GUEST_PORTS } from "../../contract/guest.ts";
import { BOOT_MARKS } from "../console-facts.ts";

/** How far the boot got, by the lines it left on the console. */
export const bootMark = ({ console }: Facts): { last: string; next: string | null } => {
  const at = BOOT_MARKS.findLastIndex((step) => console.marks.includes(step));
  return { last: BOOT_MARKS[at] ?? "nothing", next: BOOT_MARKS[at + 1] ?? null };
};

export const bootMarkLine = (facts: Facts): string => {
  const { last, next } = bootMark(facts);
  if (facts.plan === "restore") {
    return `console: ${facts.console.bytes} bytes since it was restored; last written ${facts.console.lastLineAgeSec} s ago`;
  }
  return (
    `console: the boot got as far as "${last}"${next === null ? "" : `, and shows nothing of "${next}"`}` +
    `; last written ${facts.console.lastLineAgeSec} s ago`
  );
};

export const loadLine = ({ host }: Facts): string =>
  host.load
    ? `host: ${host.load.average.toFixed(1)} programs on average want its ${host.load.processors} processors`
    : "host: its load is not known";

/** The VMM was started, and its process is not there any more. */
export const isGone = ({ host }: Facts): boolean => host.vmm.pid !== null && host.vmm.isAlive === false;

export const vmmLog = ({ host }: Facts): string[] => host.vmm.logTail.map((line) => `VMM log: ${line}`);

export const consoleTail = ({ console }: Facts): string[] => console.tail.map((line) => `console: ${line}`);

export type Unit = GuestFacts["units"][number];

export const unitsWhere = ({ guest }: Facts, fits: (unit: Unit) => boolean): Unit[] =>
  (guest?.units ?? []).filter(fits);

export const unitOf = ({ guest }: Facts, name: string): Unit | undefined =>
  guest?.units.find((unit) => unit.name === name);

/** Brought by the image; our own units have rules that say more. */
export const isImages = ({ name, file }: Unit): boolean =>
  file.startsWith("/etc/systemd/system/") && !name.startsWith("sallyport-");

export const unitLine = ({ name, load, active, sub, fileState, result, exitStatus, restarts }: Unit): string =>
  `guest: ${name} is ${load}, ${fileState || "without unit file"}, ${active} (${sub}), result ${result || "none"}` +
  `, exit status ${exitStatus}, restarted ${restarts} times`;

export const unitLines = (facts: Facts, name: string): string[] => {
  const unit = unitOf(facts, name);
  return unit ? [unitLine(unit)] : [];
};

/** Lines of the guest's journal that name any of the words, newest last. */
export const journalLines = ({ guest }: Facts, words: string[]): string[] =>
  (guest?.journal ?? [])
    .filter((line) => words.some((word) => line.includes(word)))
    .slice(-5)
    .map((line) => `journal: ${line}`);

/** The guest's network card: the link with the MAC that the host gave it. */
export const nicOf = ({ guest, expected }: Facts): GuestFacts["links"][number] | undefined =>
  guest?.links.find((link) => link.mac.toLowerCase() === expected.mac.toLowerCase());

const VIRTIO_NETWORK = 1;

/** What hangs on the guest's bus as a network card, whether a driver has taken it or not. */
export const networkDevice = ({ guest }: Facts): GuestFacts["virtioDevices"][number] | undefined =>
  guest?.virtioDevices.find(({ type }) => type === VIRTIO_NETWORK);

/** By the guest's own word. */
export const isWithoutNic = (facts: Facts): boolean =>
  !!facts.guest?.links.length && !nicOf(facts) && !networkDevice(facts);

/** IPv4 addresses of everything but loopback and link-local. */
export const guestAddresses = ({ guest }: Facts): GuestFacts["addresses"] =>
  (guest?.addresses ?? []).filter(
    ({ link, address }) => link !== "lo" && !address.includes(":") && !address.startsWith("169.254."),
  );

export const hasOwnAddress = (facts: Facts): boolean =>
  guestAddresses(facts).some(({ address }) => address === facts.expected.address);

export const addressLines = (facts: Facts): string[] => {
  const found = guestAddresses(facts);
  if (found.length === 0) return ["guest: no IPv4 address"];
  return found.map(
    ({ link, address, prefixLength, origin }) => `guest: ${link} has ${address}/${prefixLength} (${origin})`,
  );
};

/** The kernel parameter `ip=<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>`; the last one counts. */
export const ipParameter = ({ guest }: Facts): { text: string; device: string; autoconf: string } | undefined => {
  const text = guest?.cmdline.split(/\s+/).findLast((word) => word.startsWith("ip="));
  if (text === undefined) return undefined;
  const fields = text.slice("ip=".length).split(":");
  // `ip=dhcp` and the like have one field.
  const field = (index: number): string => (fields[index] ?? "").replace(/[^\w.-]/g, "?").slice(0, 16);
  return { text, device: field(5), autoconf: field(fields.length === 1 ? 0 : 6) };
};

export const ipLine = (facts: Facts): string =>
  `guest: kernel parameter ${ipParameter(facts)?.text ?? "ip= is not there"}`;

/** A part of the guest's view that is empty was asked in vain, or has nothing: only `missing` tells. */
export const isLearned = ({ guest }: Facts, part: "routes" | "sockets"): boolean =>
  !!guest && !guest.missing.some((line) => line.startsWith(part));

const NAMES_TOLD = 5;

/** For a sentence; the rest is in the evidence. */
export const someOf = (names: string[]): string =>
  [...names.slice(0, NAMES_TOLD), ...(names.length > NAMES_TOLD ? ["…"] : [])].join(", ");

export const isReachable = ({ host }: Facts): boolean => host.reach?.health === "ok";

export const reachLine = ({ host, expected }: Facts): string =>
  `host: http://${expected.address}:${GUEST_PORTS.health}/health: ${host.reach?.health ?? "not known"}`;

/** What networkd makes of eth0. */
export const networkdLine = ({ guest }: Facts): string =>
  guest?.networkd
    ? `guest: networkd applies ${guest.networkd.networkFile || "no file"} to eth0, which is ${guest.networkd.operational}, ${guest.networkd.setup}`
    : "guest: networkd knows nothing of eth0";
