/** Causes in the guest below everything else: kernel, root file system, memory, the agent itself; and a VMM that somebody ended. */
import type { Facts } from "../../contract/diagnosis.ts";
import { rules } from "../rule.ts";
import { consoleTail, isGone, journalLines, unitOf, vmmLog } from "./lines.ts";

const AGENT = "sallyport-agent.service";

export const BOOT_RULES = rules([
  {
    code: "guest-floods",
    recognisedBy:
      "reading what the guest sent over its channel took more of the controller's time than one guest may have, for so long that the channel was closed",
    when: ({ host }) => host.channel?.isFlooding === true,
    sentence: () =>
      "The guest flooded its channel: it sent so much, or what was so dear to read, that nothing more is read of it. No program of the image does so.",
    evidence: ({ host }) => [
      `host: ${host.channel?.bytes} bytes came over the channel, and cost the controller ${host.channel?.spentMs} ms`,
      `host: ${host.channel?.garbageLines} lines of them answered nothing that had been asked`,
    ],
    hint: "Somebody else may have the guest: end the session, look at its evidence, and check the image (sallyport image verify). Start a new sign-in.",
  },
  {
    code: "out-of-memory",
    recognisedBy: "the guest's kernel killed a program, or stopped, for want of memory",
    when: ({ console, guest }) => console.oomKills.length > 0 || (guest?.memory.oomKills ?? 0) > 0,
    sentence: ({ guest }) =>
      `The guest ran out of memory${guest ? ` (it has ${guest.memory.totalMib} MiB)` : ""}, and its kernel killed programs.`,
    evidence: ({ console, guest }) => [
      ...console.oomKills.map((line) => `console: ${line}`),
      ...(guest ? [`guest: ${guest.memory.oomKills} kills, ${guest.memory.availableMib} MiB available`] : []),
    ],
    hint: "Give guests more memory: vm.memoryMib in the configuration (2048 is enough for Firefox).",
  },
  {
    code: "root-file-system-damaged",
    recognisedBy: "the console shows a root file system that cannot be mounted, or a kernel that finds no init on it",
    when: ({ console }) => isRootDamaged(console),
    sentence: () => "The guest's kernel cannot use its root file system: the image is damaged or not complete.",
    evidence: ({ console }) =>
      [console.mountFailure, console.panic].flatMap((line) => (line === null ? [] : [`console: ${line}`])),
    hint: "Check the image (sallyport image verify) and build it again: sallyport image build.",
  },
  {
    code: "kernel-panic",
    recognisedBy: "the console shows a kernel panic for any other reason",
    when: ({ console }) => console.panic !== null && !isRootDamaged(console),
    sentence: () => "The guest's kernel panicked and stopped.",
    evidence: ({ console }) => [
      `console: ${console.panic ?? ""}`,
      ...(console.oops === null ? [] : [`console: ${console.oops}`]),
      `guest kernel: ${console.kernelVersion ?? "unknown"}`,
    ],
    hint: "Start a new sign-in; if it happens again, build the image with its current kernel (sallyport image build) and run sallyport doctor.",
  },
  {
    code: "emergency-shell",
    recognisedBy: "the console shows systemd's emergency mode or the initramfs' shell",
    when: ({ console }) => console.isEmergencyShell,
    sentence: () => "The guest stopped in an emergency shell: a file system or a unit it cannot do without failed.",
    evidence: (facts) => [...facts.console.failedUnits.map((unit) => `console: ${unit} failed`), ...consoleTail(facts)],
    hint: "Read what failed before it on the console, mend the image's recipe and build it again.",
  },
  {
    code: "guest-rebooted",
    recognisedBy:
      "the VMM's process is gone, and the guest's kernel said that it restarts or powers off, or the VMM ended by itself without an error",
    when: (facts) => isGone(facts) && facts.console.panic === null && hasShutDown(facts),
    sentence: () => "The guest shut itself down or restarted, which ends a microVM.",
    evidence: (facts) => [
      facts.console.shutdown === null
        ? `host: process ${facts.host.vmm.pid} ${facts.host.vmm.exit}`
        : `console: ${facts.console.shutdown}`,
      ...consoleTail(facts),
    ],
    hint: "Look on the console for what asked for it; a guest of Sallyport never does by itself. Start a new sign-in.",
  },
  {
    code: "vmm-killed",
    recognisedBy:
      "the VMM's process is gone by a signal, or nobody knows how, and the console shows neither a panic nor a shutdown",
    when: (facts) => wasKilled(facts) && facts.console.panic === null && !hasShutDown(facts),
    sentence: ({ host }) =>
      `The virtual machine's process ${host.vmm.pid} is gone although its guest did not end: it ${host.vmm.exit ?? "was killed or crashed while nobody watched"}.`,
    evidence: (facts) => [
      `process ${facts.host.vmm.pid} is not there`,
      ...vmmLog(facts),
      ...(facts.host.memAvailableMib === undefined
        ? []
        : [`host: ${facts.host.memAvailableMib} MiB of memory are available now`]),
      "console: no panic, no restart, no power-off",
      ...consoleTail(facts),
    ],
    hint: "Look for who killed it: journalctl -k (out of memory on the host), an operator, a limit of the service. Start a new sign-in.",
  },
  {
    code: "vmm-stopped",
    recognisedBy:
      "the VMM's process was stopped by a signal, or says itself that its machine does not run, and no start keeps it so",
    when: (facts) => {
      const { isAlive, isStopped, machine } = facts.host.vmm;
      return isAlive === true && (isStopped || (machine !== undefined && machine !== "running" && !isPrepared(facts)));
    },
    sentence: ({ host }) =>
      host.vmm.isStopped
        ? `The virtual machine's process ${host.vmm.pid} is stopped (SIGSTOP, a debugger): its guest stands still.`
        : `The virtual machine does not run: its VMM says that it is ${host.vmm.machine === "other" ? "in an error state" : host.vmm.machine}.`,
    evidence: (facts) => [
      `host: process ${facts.host.vmm.pid} is ${facts.host.vmm.isStopped ? "stopped" : "there"}`,
      `host: the VMM says: ${facts.host.vmm.machine ?? "nothing"}`,
      ...vmmLog(facts),
      ...consoleTail(facts),
    ],
    hint: "kill -CONT PROCESS lets a stopped one go on; find out who stopped it. One in an error state has to be destroyed: start a new sign-in.",
  },
  {
    code: "kernel-silent",
    recognisedBy: "the VMM runs, its deadline has passed, and not one byte is on the console of a guest that boots",
    when: ({ host, console, isOverdue, plan }) =>
      isOverdue && plan === "boot" && host.vmm.isAlive === true && console.bytes === 0,
    sentence: () =>
      "The virtual machine runs, but its kernel never wrote a byte: it hangs before or in its first steps.",
    evidence: (facts) => [`process ${facts.host.vmm.pid} runs`, "console: 0 bytes", ...vmmLog(facts)],
    hint: "Check that KVM really works (sallyport doctor); vm.accel: emulation leaves it out.",
  },
  {
    code: "agent-crashes",
    recognisedBy: "the guest's agent was started again and again, by its own word or the console's",
    when: (facts) => {
      const { unitStarts, agentDeaths, failedUnits } = facts.console;
      if (facts.guest) return (unitOf(facts, AGENT)?.restarts ?? 0) >= 2;
      return (unitStarts[AGENT] ?? 0) >= 2 || agentDeaths >= 2 || failedUnits.some((unit) => unit.startsWith(AGENT));
    },
    sentence: () => "The guest's agent crashes at its start, again and again, so nobody answers on the channel.",
    evidence: (facts) => [
      `console: ${AGENT} was started ${facts.console.unitStarts[AGENT] ?? 0} times, and died ${facts.console.agentDeaths} times`,
      ...journalLines(facts, ["node["]),
      ...consoleTail(facts),
    ],
    hint: "Its last words are on the console; build the image again with this version: sallyport image build.",
  },
]);

/** Its guest does not run yet: the start that is under way lets it, or, unless it is a clone, a TAP on the bridge. */
const isPrepared = (facts: Facts): boolean =>
  facts.host.vmm.machine === "paused" &&
  (isBeingStarted(facts) || (facts.plan === "boot" && facts.host.tap === "waiting"));

const isBeingStarted = ({ stage }: Facts): boolean => stage === "vmm-up" || stage === "restored";

const isRootDamaged = ({ mountFailure, panic }: Facts["console"]): boolean =>
  mountFailure !== null || /\binit\b|root fs/i.test(panic ?? "");

/** A VMM ends without an error when its guest restarts or powers off, whether it said so or not; before its start there is no guest. */
const hasShutDown = (facts: Facts): boolean =>
  facts.console.shutdown !== null || (facts.host.vmm.end === "by-itself" && !isBeingStarted(facts));

/** By somebody's signal, or nobody saw how. */
const wasKilled = (facts: Facts): boolean => {
  const { end, cgroup } = facts.host.vmm;
  return isGone(facts) && (end === "killed" || end === null) && !cgroup?.oomKills;
};
