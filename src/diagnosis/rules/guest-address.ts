/** Causes in the address that the guest has, once something has given it one. */
import type { Facts } from "../../contract/diagnosis.ts";
import { rules } from "../rule.ts";
import { addressLines, guestAddresses, hasOwnAddress, ipLine, isLearned, networkdLine } from "./lines.ts";

export const GUEST_ADDRESS_RULES = rules([
  {
    code: "address-taken",
    recognisedBy: "the guest has an address that is leased to another microVM",
    when: ({ host }) => typeof host.takenAddress === "string",
    sentence: (facts) =>
      `The guest has given itself ${facts.host.takenAddress}, which is another microVM's; its own is ${facts.expected.address}.`,
    evidence: (facts) => [
      ...addressLines(facts),
      `host: ${facts.host.takenAddress} is leased to another microVM`,
      ipLine(facts),
      `host: ${facts.host.firewall?.counters.spoofed ?? 0} packets of all guests together dropped as not their own`,
    ],
    hint: "Two guests were given one address, or one took it: the firewall has kept it from the other. Start a new sign-in, and look at what sets the address in the image.",
  },
  {
    code: "address-not-leased",
    recognisedBy: "the guest has an address, but not the one that is leased to it",
    when: (facts) => guestAddresses(facts).length > 0 && !hasOwnAddress(facts) && facts.host.takenAddress === null,
    sentence: (facts) =>
      `The guest has ${guestAddresses(facts)[0]?.address} instead of ${facts.expected.address}: the firewall drops all it sends.`,
    evidence: (facts) => [...addressLines(facts), networkdLine(facts), ipLine(facts)],
    hint: "Find what sets it in the image (the .network file in force, a script): nothing but ip= may.",
  },
  {
    code: "gateway-wrong",
    recognisedBy: "the guest has its address, and its default route is missing or leads to another gateway",
    when: (facts) =>
      hasOwnAddress(facts) && isLearned(facts, "routes") && defaultGateway(facts) !== facts.expected.gateway,
    sentence: (facts) =>
      `The guest's default route leads to ${defaultGateway(facts) ?? "nowhere"} instead of ${facts.expected.gateway}: it reaches the host, but not the internet.`,
    evidence: (facts) => [
      ...(facts.guest?.routes ?? []).map(
        ({ destination, gateway, link }) => `guest: route ${destination} via ${gateway || "the link"} on ${link}`,
      ),
      ipLine(facts),
    ],
    hint: "The third field of ip= has to be the bridge's address; and no .network file of the image may set another Gateway=.",
    isMinor: true,
  },
]);

const defaultGateway = ({ guest }: Facts): string | undefined =>
  guest?.routes.find(({ destination }) => destination === "default")?.gateway;
