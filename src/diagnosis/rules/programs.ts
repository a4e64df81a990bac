/** Causes in what runs in the guest: agent, screen, browser, and what the image brings. */
import type { Facts } from "../../contract/diagnosis.ts";
import { GUEST_PORTS } from "../../contract/guest.ts";
import { rules } from "../rule.ts";
import {
  bootMark,
  bootMarkLine,
  consoleTail,
  isImages,
  isLearned,
  isReachable,
  journalLines,
  loadLine,
  reachLine,
  someOf,
  unitLine,
  unitLines,
  unitOf,
  unitsWhere,
  type Unit,
} from "./lines.ts";

const DISPLAY = "sallyport-display.service";
const BROWSER = "sallyport-browser.service";

export const PROGRAM_RULES = rules([
  {
    code: "agent-on-loopback",
    recognisedBy: `port ${GUEST_PORTS.health} is listened on in the guest, but on loopback addresses only`,
    when: (facts) => {
      const found = listening(facts, GUEST_PORTS.health);
      return found.length > 0 && found.every(isLoopback);
    },
    sentence: () =>
      `The guest's agent listens on its loopback only, so http://<guest>:${GUEST_PORTS.health}/health cannot be reached from the host.`,
    evidence: (facts) => [
      ...listening(facts, GUEST_PORTS.health).map((address) => `guest: listens on ${address}:${GUEST_PORTS.health}`),
      reachLine(facts),
    ],
    hint: "The image's agent was changed; build it again: sallyport image build.",
  },
  {
    code: "display-not-starting",
    recognisedBy: `nothing listens on port ${GUEST_PORTS.rfb} in the guest, and its screen's unit failed, restarts or is overdue`,
    when: (facts) => {
      const unit = unitOf(facts, DISPLAY);
      if (!unit || !isLearned(facts, "sockets") || listening(facts, GUEST_PORTS.rfb).length > 0) return false;
      return hasTrouble(unit) || (facts.isOverdue && (facts.stage === "display" || facts.stage === "screen"));
    },
    sentence: (facts) =>
      `The guest's screen (Xvnc) does not start: ${wordsFor(unitOf(facts, DISPLAY))}, and nothing listens on port ${GUEST_PORTS.rfb}.`,
    evidence: (facts) => [...unitLines(facts, DISPLAY), ...journalLines(facts, ["Xtigervnc", DISPLAY])],
    hint: "Its own words are in the evidence and on the console; check screen in the image's recipe and build the image again.",
  },
  {
    code: "browser-crashing",
    recognisedBy: "Firefox's unit restarts or failed, and its first page was not painted",
    when: (facts) => {
      const unit = unitOf(facts, BROWSER);
      return !!unit && hasTrouble(unit) && facts.guest?.browser !== "painted";
    },
    sentence: (facts) => `Firefox does not stay alive in the guest: ${wordsFor(unitOf(facts, BROWSER))}.`,
    evidence: (facts) => [
      ...unitLines(facts, BROWSER),
      `guest: Firefox is ${facts.guest?.browser ?? "not known"}; ${facts.guest?.memory.availableMib ?? "?"} MiB available`,
      ...journalLines(facts, ["firefox", BROWSER]),
    ],
    hint: "Its own words are in the evidence and on the console; more memory (vm.memoryMib) and a newly built image are the usual cures.",
  },
  {
    code: "unit-failed",
    recognisedBy: "any other unit of the guest failed",
    when: (facts) => otherFailures(facts).length > 0,
    sentence: (facts) => `${someOf(otherFailures(facts))} failed in the guest.`,
    evidence: (facts) => [
      ...unitsWhere(facts, ({ name }) => otherFailures(facts).includes(name)).map(unitLine),
      ...journalLines(facts, otherFailures(facts)),
    ],
    hint: "Its own words are on the console (sallyport console); mend it in the image's recipe and build the image again.",
  },
  {
    code: "agent-silent",
    recognisedBy:
      "the VMM runs, nobody answers on the channel although the agent is overdue or had answered before, and neither host nor console show why",
    when: ({ host, guest, isOverdue, stage }) =>
      guest === null && host.vmm.isAlive === true && host.reach !== undefined && (isOverdue || stage === null),
    sentence: (facts) => {
      if (isReachable(facts)) {
        return "The guest's agent does not answer on the channel, though it does over the network: the guest has too much to do, or the agent hangs.";
      }
      if (facts.plan === "restore") {
        return "The guest, a clone of a warm snapshot, answers neither on the channel nor over its network: it hangs, or did not go on from there.";
      }
      const { last, next } = bootMark(facts);
      return next === null
        ? "The guest answers neither on the channel nor over its network: it hangs, or is far too slow."
        : `The guest's agent never answered: on the console, the boot got as far as "${last}".`;
    },
    evidence: (facts) => [bootMarkLine(facts), reachLine(facts), loadLine(facts), ...consoleTail(facts)],
    hint: "Read the console after the step named (sallyport console SESSION). A guest with too little memory (vm.memoryMib) or a host with too many guests can be this slow.",
  },
  {
    code: "unit-output-not-on-console",
    recognisedBy: "a unit that the image brings does not write to the console",
    when: (facts) => silentUnits(facts).length > 0,
    sentence: (facts) =>
      `${someOf(silentUnits(facts).map(({ name }) => name))} writes to the journal only: when it fails, nobody outside the guest can read why.`,
    evidence: (facts) =>
      silentUnits(facts).map(({ name, standardOutput }) => `guest: ${name} has StandardOutput=${standardOutput}`),
    hint: "Add StandardOutput=journal+console and StandardError=journal+console to the unit in the image's recipe.",
    isMinor: true,
  },
]);

const listening = ({ guest }: Facts, port: number): string[] =>
  (guest?.listening ?? []).filter((socket) => socket.port === port).map(({ address }) => address);

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";

const hasTrouble = (unit: Unit): boolean =>
  unit.restarts > 0 ||
  unit.active === "failed" ||
  (unit.active !== "active" && (unit.load !== "loaded" || ["disabled", "masked"].includes(unit.fileState)));

const wordsFor = (unit: Unit | undefined): string => {
  if (!unit) return "its unit is not there";
  if (unit.load !== "loaded") return `its unit is ${unit.load}`;
  if (unit.active !== "active" && unit.fileState === "disabled") return "its unit is disabled";
  return `it was restarted ${unit.restarts} times, last with ${unit.result || "no result"} and exit status ${unit.exitStatus}`;
};

const otherFailures = ({ guest }: Facts): string[] => guest?.failedUnits ?? [];

/** Run or meant to run, brought by the image, and written nowhere that the host sees. */
const silentUnits = (facts: Facts): Unit[] =>
  unitsWhere(facts, (unit) => {
    const { load, fileState, standardOutput } = unit;
    const isRun = load === "loaded" && fileState !== "disabled";
    return isImages(unit) && isRun && standardOutput !== "" && !/console|tty|kmsg/.test(standardOutput);
  });
