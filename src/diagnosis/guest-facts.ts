/** The guest's own word about itself, over the channel. It is hostile, and what it says is shown to people and kept. */
import type { GuestChannel } from "../channel/channel.ts";
import type { GuestFacts, GuestUnits } from "../contract/diagnosis.ts";
import { MAX_JOURNAL_UNITS, unitName, type GuestParams } from "../contract/guest.ts";
import { messageOf } from "../lib/errors.ts";
import { mapStrings, redactText } from "../lib/redact.ts";
import { plainText } from "../lib/terminal.ts";
import { msUntil } from "../lib/wait.ts";

/** What came in time is to be there before the caller gives up. */
const TOLERANCE_MS = 100;
const JOURNAL_LINES = 100;
const JOURNAL_LINE_CHARS = 400;

/**
 * Three questions, one after the other, the one that needs no program in the guest first: a guest that is short of processors
 * answers what it can within the time, and the rest is told as missing. Throws when it says nothing at all.
 */
export const askGuest = async (channel: GuestChannel, timeoutMs: number): Promise<GuestFacts> => {
  const deadline = performance.now() + timeoutMs - TOLERANCE_MS;
  const call = <M extends "facts" | "units" | "journal">(method: M, params: GuestParams<M>) =>
    channel.call(method, params, { timeoutMs: msUntil(deadline) });

  const machine = await call("facts", {});
  const missing = [...machine.missing];
  const miss = (part: string, why: unknown): void => void missing.push(`${part}: ${messageOf(why)}`);
  const units = await call("units", {}).catch((error: unknown) => miss("units", error));
  if (units) missing.push(...units.missing);
  else miss("journal", "not asked: the guest was too slow already");
  const journal =
    units &&
    (await call("journal", { lines: JOURNAL_LINES, units: unitsThatMatter(units) }).catch((error: unknown) =>
      miss("journal", error),
    ));
  return {
    ...tidy(machine),
    units: tidy(units?.units ?? []),
    failedUnits: tidy(units?.failedUnits ?? []),
    journal: journalLines(journal?.text ?? ""),
    missing: tidy(missing),
  };
};

/** Those that the guest is made of, and those that failed; names that are none are the guest's own loss. */
const unitsThatMatter = ({ units, failedUnits }: GuestUnits): string[] =>
  [...new Set([...units.map(({ name }) => name), ...failedUnits])]
    .filter((name) => unitName.safeParse(name).success)
    .slice(0, MAX_JOURNAL_UNITS);

/** Every string one line, without control characters and without what looks like a secret. */
const tidy = <T>(value: T): T => mapStrings(value, (text) => redactText(plainText(text).replaceAll("\n", " "))) as T;

const journalLines = (text: string): string[] =>
  redactText(plainText(text))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.slice(0, JOURNAL_LINE_CHARS));
