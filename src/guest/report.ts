/** The end of the guest's journal, for whoever looks for what facts do not show. */
import { MAX_LINE_BYTES, type GuestParams } from "../contract/guest.ts";
import type { run } from "../lib/exec.ts";

const PROGRAM_TIMEOUT_MS = 20_000;
const JOURNAL_CHARS = 200_000;
/** Leaves room in the line for the rest of the answer. */
const JOURNAL_JSON_BYTES = MAX_LINE_BYTES - 1024;

/** Of all units when none is named. */
export const journal = async ({ units, lines }: GuestParams<"journal">, runProgram: typeof run) => {
  const ofUnits = units.map((unit) => `--unit=${unit}`);
  const args = ["--no-pager", "--output=short-monotonic", `--lines=${lines}`, ...ofUnits];
  const { stdout } = await runProgram("journalctl", args, { timeoutMs: PROGRAM_TIMEOUT_MS });
  return { text: endThatFits(printable(stdout)) };
};

/** Without control characters: each would be six bytes in JSON, and some drive terminals. */
const printable = (text: string): string => text.replace(/[^\P{Cc}\n\t]/gu, "");

/** The newest part that fits, counted as JSON, where a quote takes two bytes and many a letter three. */
const endThatFits = (text: string): string => {
  let end = text.slice(-JOURNAL_CHARS);
  while (Buffer.byteLength(JSON.stringify(end)) > JOURNAL_JSON_BYTES) end = end.slice(Math.ceil(end.length / 8));
  return end;
};
