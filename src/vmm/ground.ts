/** What of this host a frozen machine depends on, whatever froze it: it runs on where it was frozen, or nowhere. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { release } from "node:os";

/**
 * Words by name, for `Snapshots.ground`: the processor with its microcode, of which a guest knows what it can and what ails it, and
 * the host's kernel, whose KVM keeps the machine's registers.
 */
export const hostGround = async (): Promise<Record<string, string>> => ({
  ...processorIn(await readFile("/proc/cpuinfo", "utf8")),
  kernel: release(),
});

/** A word for what is too long for one. Pure. */
export const digestWord = (of: string | Buffer): string => createHash("sha256").update(of).digest("hex").slice(0, 16);

/** From the text of /proc/cpuinfo (of x86), by the first processor in it; `cpuFlags` are 16 hex digits. Pure. */
export const processorIn = (cpuinfo: string): { cpu: string; cpuFlags: string } => {
  const [first = ""] = cpuinfo.split(/\n\s*\n/, 1);
  const lines = first.split("\n").map((line) => line.split(/\s*:\s*/, 2));
  const words = new Map(lines.map(([name = "", value = ""]) => [name.trim(), value.trim()]));
  const of = (name: string): string => words.get(name) || "unknown";
  // A model name is for people, and a virtual machine may have any; the numbers are the processor's own.
  const model = `${of("vendor_id")} family ${of("cpu family")} model ${of("model")}`;
  const flags = of("flags").split(/\s+/).toSorted().join(" ");
  return {
    cpu: `${of("model name")} (${model}), stepping ${of("stepping")}, microcode ${of("microcode")}`,
    cpuFlags: digestWord(flags),
  };
};
