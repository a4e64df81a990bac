/** Runs the program that tries, and reads what it says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { run } from "../../src/lib/exec.ts";

/** One part of a try. */
export interface Part {
  try: string;
  part: string;
  held: boolean;
  /** In a word: how it was refused, or how far it came. */
  how: string;
}

/** What a part is known by. */
export const nameOf = (part: Pick<Part, "try" | "part">): string => `${part.try}: ${part.part}`;

/** The last word about each part counts. A line that is cut short is not one. */
export const partsIn = (output: string): Part[] => {
  const parts = new Map<string, Part>();
  for (const line of output.split("\n")) {
    if (!line.startsWith('{"try"') || !line.endsWith("}")) continue;
    const part = JSON.parse(line) as Part;
    parts.set(nameOf(part), part);
  }
  return [...parts.values()];
};

/** A try held where all its parts did. */
export const tally = (parts: readonly Part[]) => {
  const names = [...new Set(parts.map((part) => part.try))];
  const isHeld = (name: string): boolean => parts.every((part) => part.try !== name || part.held);
  return { names, tried: names.length, held: names.filter(isHeld).length };
};

export const failed = (parts: readonly Part[]): string[] =>
  parts.filter(({ held }) => !held).map((part) => `${nameOf(part)}: ${part.how}`);

/** The names of all tries. */
export const triesOf = async (program: string): Promise<string[]> =>
  (await run(program, ["list"])).stdout.trimEnd().split("\n");

/** A program has two files, as a VMM has its console and its log. */
interface Streams {
  output: string;
  errors: string;
}

/** Runs a command line with its output in files, and answers what it said and how it ended. `look` is called all the while. */
export const runTries = async (argv: string[], streams: Streams, look: () => Promise<void>, files: number[] = []) => {
  const [program = "", ...args] = argv;
  const output = await open(streams.output, "a");
  const errors = await open(streams.errors, "a");
  const child = spawn(program, args, { stdio: ["ignore", output.fd, errors.fd, ...files], cwd: "/", detached: true });
  let isOver = false;
  const ended = once(child, "exit").then(([code, signal]) => ((isOver = true), (signal ?? code) as string | number));
  await output.close();
  await errors.close();
  while (!isOver) {
    await look();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  const texts = [streams.errors, streams.output].map((file) => readFile(file, "utf8"));
  return { end: await ended, said: (await Promise.all(texts)).join("\n") };
};
