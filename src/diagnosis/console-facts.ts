/** Reads a console as a person would who looks for the line that explains the rest. Pure; the file is console-reader.ts. */
import type { ConsoleFacts } from "../contract/diagnosis.ts";
import { redactText } from "../lib/redact.ts";
import { createTerminalFilter } from "../lib/terminal.ts";

/** What the kernel, or PID 1, puts in front of a line. */
const STAMP = String.raw`^(?:\[[^\]\n]{0,20}\] )?`;

/** Each begins with the line or with words of its own: a guest may write anything, and must not make the host backtrack. */
const PATTERNS = {
  kernelVersion: /Linux version ([\w.+~-]{1,100})/,
  panic: /Kernel panic - not syncing.*/,
  oops: /(?:BUG: |Oops: |general protection fault|unable to handle kernel|unable to handle page).*/,
  mountFailure: new RegExp(
    `${STAMP}(?:${[
      // The kernel's own words, then those of Debian's initramfs, then systemd's.
      String.raw`(?:EXT4-fs|SQUASHFS|EROFS)\b.*(?:\berror\b|can't find|bad |invalid|corrupt|unable to|failed).*`,
      String.raw`(?:[\w ]+[:,] )?(?:I/O error, dev|Buffer I/O error on dev) vda.*`,
      String.raw`VFS: (?:Unable to mount root fs|Cannot open root device).*`,
      String.raw`mount: mounting \S+ on /root failed.*`,
      String.raw`mount: /(?:root|sysroot|run/initramfs)\S*: .*`,
      String.raw`ALERT![ \t]+\S+ does not exist.*`,
      String.raw`Target filesystem doesn't have .*`,
      String.raw`(?:run-init: .*|No (?:working )?init found.*)`,
      String.raw`Failed to mount /.*`,
    ].join("|")})`,
    "im",
  ),
  shutdown: /(?:reboot: |Rebooting automatically due to panic=).*/,
} as const;

const EMERGENCY =
  /You are in (?:emergency|rescue) mode|^\(initramfs\)|Give root password for maintenance|Spawning shell within the initramfs/m;
const OOM_KILL =
  /(?:Out of memory: Killed process|Memory cgroup out of memory: Killed process|System is deadlocked on memory|Initramfs unpacking failed: write error).*/g;
/** PID 1 shortens names that are too long with `…`; what is left still tells which one. */
const UNIT_FAILED = /^\[FAILED\] Failed to \w+ ([\w:.@\\-]{1,200})(?:…| - |\.{3}|\.?$)/gm;
const UNIT_STARTED = /^\[  OK  \] Started ([\w:.@\\-]{1,200}?)(?: - |\.?$)/gm;
const NETWORK_FILE = /\beth0: Configuring with (\/[\w.@+/-]{1,200}\.network)\b/g;
/** Steps of a healthy boot, in their order, each with the line that it leaves. */
const MARKS: readonly (readonly [step: string, line: RegExp])[] = [
  ["the kernel started", /Linux version /],
  ["the kernel found its disk", /\[vda\] \d+ 512-byte/],
  ["systemd started", /^Welcome to /m],
  ["local file systems were mounted", /Reached target local-fs\.target/],
  ["networkd started", /Started systemd-networkd\.service/],
  ["the agent's process started", /Started sallyport-agent\.service/],
  ["eth0 was configured", /\beth0: Configuring with /],
  ["the agent was up", /\bagent up, health on :/],
];
/** The same in words, for whoever says which of them is not there. */
export const BOOT_MARKS = MARKS.map(([step]) => step);
const TAIL_LINES = 8;
const MAX_LINE_CHARS = 1000;
const TAIL_CHARS = TAIL_LINES * (MAX_LINE_CHARS + 1);
const LONG_LINE = new RegExp(`^(.{${MAX_LINE_CHARS}}).+`, "gm");
const LINE_CHARS = 300;

export const createConsoleParser = () => {
  const filter = createTerminalFilter({ canColour: false });
  let found = NOTHING;
  let unfinished = "";
  return {
    /** The next piece as the guest wrote it; linear in its length. A few hundred bytes of it are kept, whatever it is. */
    push: (text: string): void => {
      const plain = unfinished + filter.push(text);
      const end = plain.lastIndexOf("\n") + 1;
      if (end > 0) found = look(found, plain.slice(0, end));
      unfinished = plain.slice(end, end + MAX_LINE_CHARS);
    },
    /** What was found so far, the unfinished line included. `bytes` and `lastLineAgeSec` are the file's. */
    facts: (bytes: number, lastLineAgeSec: number): ConsoleFacts => {
      const { deadAgents, ...facts } = look(found, unfinished);
      return { ...facts, bytes, agentDeaths: deadAgents.length, lastLineAgeSec };
    },
  };
};

/** Of a console that was never written. */
export const noConsole = (): ConsoleFacts => createConsoleParser().facts(0, 0);

type Found = Omit<ConsoleFacts, "bytes" | "agentDeaths" | "lastLineAgeSec"> & { deadAgents: string[] };

const NOTHING: Found = {
  kernelVersion: null,
  panic: null,
  oops: null,
  mountFailure: null,
  shutdown: null,
  isEmergencyShell: false,
  oomKills: [],
  failedUnits: [],
  networkFile: null,
  marks: [],
  unitStarts: {},
  deadAgents: [],
  tail: [],
};

/** What was found before, and in these lines, which are whole. */
const look = (before: Found, lines: string): Found => {
  const plain = lines.replace(LONG_LINE, "$1");
  const first = (seen: string | null, pattern: RegExp): string | null => {
    const found = seen === null ? pattern.exec(plain) : null;
    return found ? line(found[0]) : seen;
  };
  const all = (pattern: RegExp): string[] => [...plain.matchAll(pattern)].map(([match, group]) => group ?? match);
  return {
    kernelVersion: before.kernelVersion ?? PATTERNS.kernelVersion.exec(plain)?.[1] ?? null,
    panic: first(before.panic, PATTERNS.panic),
    oops: first(before.oops, PATTERNS.oops),
    mountFailure: first(before.mountFailure, PATTERNS.mountFailure),
    shutdown: first(before.shutdown, PATTERNS.shutdown),
    isEmergencyShell: before.isEmergencyShell || EMERGENCY.test(plain),
    oomKills: [...before.oomKills, ...all(OOM_KILL).slice(-20).map(line)].slice(-20),
    failedUnits: distinct([...before.failedUnits, ...all(UNIT_FAILED)], 64),
    networkFile: all(NETWORK_FILE).at(-1)?.slice(0, 200) ?? before.networkFile,
    marks: MARKS.filter(([step, pattern]) => before.marks.includes(step) || pattern.test(plain)).map(([step]) => step),
    unitStarts: countStarts(before.unitStarts, all(UNIT_STARTED)),
    deadAgents: distinct([...before.deadAgents, ...all(NODE_LAST_WORDS)], 1000),
    tail: [...before.tail, ...lastLines(plain)].slice(-TAIL_LINES),
  };
};

const distinct = (texts: string[], limit: number): string[] => [...new Set(texts)].slice(0, limit);

/** The last lines that have something in them, of the last that a person would look at. */
const lastLines = (plain: string): string[] =>
  plain
    .slice(-TAIL_CHARS)
    .split("\n")
    .filter((one) => one.trim() !== "")
    .slice(-TAIL_LINES)
    .map(line);

/** Node's line under the error that ended it. PID 1 tells of restarts on the console only until the boot is over. */
const NODE_LAST_WORDS = /node\[(\d+)\]: Node\.js v\d/g;

const countStarts = (before: Record<string, number>, units: string[]): Record<string, number> => {
  const starts = new Map(Object.entries(before));
  for (const unit of units) {
    const isCounted = unit.endsWith(".service") && (starts.has(unit) || starts.size < 128);
    if (isCounted) starts.set(unit, (starts.get(unit) ?? 0) + 1);
  }
  return Object.fromEntries(starts);
};

const line = (text: string): string => redactText(text.trimEnd()).slice(0, LINE_CHARS);
