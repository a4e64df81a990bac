/** Causes below the guest: the host's disk and memory, and a VMM whose end says by itself what happened. */
import type { Facts, VmmEnd } from "../../contract/diagnosis.ts";
import { rules } from "../rule.ts";
import { consoleTail, isGone, vmmLog } from "./lines.ts";

/** A microVM needs less, but a database, a console and evidence have to be written. */
export const MIN_DISK_FREE_MIB = 16;

export const VMM_RULES = rules([
  {
    code: "host-disk-full",
    recognisedBy: `less than ${MIN_DISK_FREE_MIB} MiB is free below the data directory`,
    when: ({ host }) => host.diskFreeMib !== undefined && host.diskFreeMib < MIN_DISK_FREE_MIB,
    sentence: () => "The host's disk is full: consoles, evidence and new microVMs cannot be written any more.",
    evidence: ({ host }) => [`free below the data directory: ${host.diskFreeMib} MiB`],
    hint: "Free space on the file system of the data directory, or lower evidence.maxMib; running sessions go on.",
  },
  {
    code: "host-out-of-memory",
    recognisedBy:
      "the VMM's process is gone for want of memory, by its cgroup's count or its own word, and its cgroup had more to give",
    when: (facts) => endedBy(facts, "out-of-memory") && !isOverItsLimit(facts),
    sentence: () => "The host ran out of memory, and the virtual machine was ended for it.",
    evidence: (facts) => [...endLines(facts), ...memoryLines(facts)],
    hint: "Run fewer microVMs at once (sallyport doctor says how many fit), end what else takes memory, or give the host more. Start a new sign-in.",
  },
  {
    code: "vmm-out-of-memory",
    recognisedBy:
      "the VMM's process is gone, and its cgroup says that its limit was reached and that the kernel killed for it",
    when: (facts) => endedBy(facts, "out-of-memory") && isOverItsLimit(facts),
    sentence: ({ host }) =>
      `The virtual machine wanted more memory than its cgroup grants (${host.vmm.cgroup?.memoryLimitMib} MiB), and the kernel ended it. Nobody else on the host is the worse for it.`,
    evidence: (facts) => [...endLines(facts), ...memoryLines(facts)],
    hint: "The guest's own memory fits into that limit, so its VMM took the rest: somebody may have the guest, and tries. Look at its console and vmm.log (sallyport evidence SESSION), and start a new sign-in.",
  },
  {
    code: "vmm-call-refused",
    recognisedBy: "the VMM was ended by its system call filter, by its signal or its exit code",
    when: (facts) => endedBy(facts, "call-refused"),
    sentence: () =>
      "The virtual machine's VMM made a system call that its filter forbids, and was ended for it: no VMM does so that is itself.",
    evidence: (facts) => [...endLines(facts), ...vmmLog(facts), ...consoleTail(facts)],
    hint: "Somebody may have broken out of the guest, and got no further: keep the evidence. A VMM that is newer than its filter, or a library under it, does the same: if every start ends so, install another version.",
  },
  {
    code: "vmm-wants-processes",
    recognisedBy: "the microVM's cgroup has refused it processes or threads",
    when: ({ host }) => (host.vmm.cgroup?.pidsMaxHits ?? 0) > 0,
    sentence: () =>
      "The virtual machine's VMM wanted more processes or threads than a microVM may have, and was refused.",
    evidence: (facts) => [
      `host: its cgroup refused ${facts.host.vmm.cgroup?.pidsMaxHits} processes and threads`,
      ...endLines(facts),
      ...vmmLog(facts),
    ],
    hint: "No VMM needs as many: somebody may have broken out of the guest, and got no further. End the session, and keep its evidence.",
  },
  {
    code: "vmm-memory-gone",
    recognisedBy: "the VMM was ended by SIGBUS, or by its exit code for that",
    when: (facts) => endedBy(facts, "memory-gone"),
    sentence: () =>
      "What the virtual machine had mapped into its memory went away under it: a file that was cut short, or huge pages that ran out.",
    evidence: (facts) => [...endLines(facts), ...memoryLines(facts), ...vmmLog(facts)],
    hint: "Nothing may write to an image while microVMs run from it (sallyport image verify), nor take back the host's huge pages. Start a new sign-in.",
  },
  {
    code: "vmm-crashed",
    recognisedBy: "the VMM ended by a fault of its own: SIGSEGV, SIGABRT and the like, or its exit code for that",
    when: (facts) => endedBy(facts, "crashed"),
    sentence: ({ host }) => `The virtual machine's VMM crashed: it ${host.vmm.exit}.`,
    evidence: (facts) => [...endLines(facts), ...vmmLog(facts), ...consoleTail(facts)],
    hint: "A bug of the VMM, which a guest may have looked for: keep the evidence, bring the VMM up to date, and start a new sign-in.",
  },
  {
    code: "vmm-file-too-large",
    recognisedBy: "the VMM ended because a file of its own reached the largest size it may have",
    when: (facts) => endedBy(facts, "file-too-large"),
    sentence: () =>
      "The virtual machine wrote its console or log full, up to the largest size that a file of its may have, and ended there: no controller was there to cut it.",
    evidence: (facts) => [
      ...endLines(facts),
      `console: ${facts.console.bytes} bytes`,
      ...vmmLog(facts),
      ...consoleTail(facts),
    ],
    hint: "See on the console what the guest writes without end. The controller keeps a console small for as long as it runs: see that it does. Start a new sign-in.",
  },
  {
    code: "vmm-failed",
    recognisedBy:
      "the VMM ended with an error of its own that no other verdict knows, or would not take its configuration",
    when: (facts) => endedBy(facts, "failed") || endedBy(facts, "misconfigured"),
    sentence: (facts) =>
      endedBy(facts, "misconfigured")
        ? "The virtual machine's VMM did not take the configuration that it was started with."
        : `The virtual machine's VMM gave up: it ${facts.host.vmm.exit}.`,
    evidence: (facts) => [...endLines(facts), ...vmmLog(facts), ...consoleTail(facts)],
    hint: "Its own words are above and in vmm.log (sallyport evidence SESSION); see whether its version fits and what it needs is there: sallyport doctor.",
  },
]);

/** By its cgroup's word before its own: the kernel's SIGKILL looks like anybody's; also at its start, before its process is on record. */
const endedBy = (facts: Facts, end: VmmEnd): boolean => {
  const { vmm } = facts.host;
  if ((vmm.cgroup?.oomKills ?? 0) > 0) return vmm.isAlive === false && end === "out-of-memory";
  return isGone(facts) && vmm.end === end;
};

const isOverItsLimit = ({ host }: Facts): boolean => (host.vmm.cgroup?.limitHits ?? 0) > 0;

const endLines = (facts: Facts): string[] =>
  isGone(facts)
    ? [
        `host: process ${facts.host.vmm.pid} is gone${facts.host.vmm.exit === null ? "" : `: it ${facts.host.vmm.exit}`}`,
      ]
    : [];

const memoryLines = ({ host }: Facts): string[] => [
  ...(host.vmm.cgroup
    ? [
        `host: its cgroup: at most ${host.vmm.cgroup.memoryPeakMib} of ${host.vmm.cgroup.memoryLimitMib} MiB were used, the limit was reached ${host.vmm.cgroup.limitHits} times, and ${host.vmm.cgroup.oomKills} processes were killed`,
      ]
    : []),
  ...(host.memAvailableMib === undefined ? [] : [`host: ${host.memAvailableMib} MiB of memory are available now`]),
];
