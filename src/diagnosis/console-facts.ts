/** Reads a console as a person would who looks for the line that explains the rest. Pure but for `readConsoleFacts`. */
import { open } from "node:fs/promises";
import type { ConsoleFacts } from "../contract/diagnosis.ts";
import { redactText } from "../lib/redact.ts";
import { plainText } from "../lib/terminal.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { CONSOLE_LIMIT_BYTES } from "../vmm/console.ts";

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
const LINE_CHARS = 300;

/** `text` as the guest wrote it; `bytes` and `lastLineAgeSec` are the file's. */
export const parseConsole = (text: string, bytes: number, lastLineAgeSec: number): ConsoleFacts => {
  const plain = plainText(text)
    .split("\n")
    .map((one) => one.slice(0, MAX_LINE_CHARS))
    .join("\n");
  const first = (pattern: RegExp): string | null => line(pattern.exec(plain)?.[0]);
  const tail = plain
    .split("\n")
    .filter((one) => one.trim() !== "")
    .slice(-TAIL_LINES)
    .map((one) => line(one) ?? "");
  return {
    bytes,
    kernelVersion: PATTERNS.kernelVersion.exec(plain)?.[1] ?? null,
    panic: first(PATTERNS.panic),
    oops: first(PATTERNS.oops),
    mountFailure: first(PATTERNS.mountFailure),
    shutdown: first(PATTERNS.shutdown),
    isEmergencyShell: EMERGENCY.test(plain),
    oomKills: [...plain.matchAll(OOM_KILL)].slice(-20).map(([match]) => line(match) ?? ""),
    failedUnits: [...new Set([...plain.matchAll(UNIT_FAILED)].map(([, unit = ""]) => unit.slice(0, 200)))].slice(0, 64),
    networkFile: [...plain.matchAll(NETWORK_FILE)].at(-1)?.[1]?.slice(0, 200) ?? null,
    marks: MARKS.filter(([, line]) => line.test(plain)).map(([step]) => step),
    unitStarts: countStarts(plain),
    agentDeaths: new Set([...plain.matchAll(NODE_LAST_WORDS)].map(([, pid]) => pid)).size,
    tail,
    lastLineAgeSec,
  };
};

/** Of a console that was never written. */
export const noConsole = (): ConsoleFacts => parseConsole("", 0, 0);

export const readConsoleFacts = async (file: string): Promise<ConsoleFacts> => {
  const handle = await unlessMissing(open(file, "r"), undefined);
  if (!handle) return noConsole();
  try {
    const { size, mtimeMs } = await handle.stat();
    const buffer = Buffer.alloc(Math.min(size, CONSOLE_LIMIT_BYTES));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, Math.max(0, size - buffer.length));
    const ageSec = Math.max(0, Math.round((Date.now() - mtimeMs) / 1000));
    return parseConsole(buffer.toString("utf8", 0, bytesRead), size, ageSec);
  } finally {
    await handle.close();
  }
};

/** Node's line under the error that ended it. PID 1 tells of restarts on the console only until the boot is over. */
const NODE_LAST_WORDS = /node\[(\d+)\]: Node\.js v\d/g;

const countStarts = (plain: string): Record<string, number> => {
  const starts = new Map<string, number>();
  for (const [, unit = ""] of plain.matchAll(UNIT_STARTED)) {
    if (unit.endsWith(".service")) starts.set(unit, (starts.get(unit) ?? 0) + 1);
  }
  return Object.fromEntries([...starts].slice(0, 128));
};

const line = (text: string | undefined): string | null =>
  text === undefined ? null : redactText(text.trimEnd()).slice(0, LINE_CHARS);
