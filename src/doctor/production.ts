/** What a host that real people use should have, line by line: what each protects, and the command that shows it. docs/HOST-SETUP.md has the same table. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isAtLeast } from "../lib/versions.mjs";
import { unlessMissing } from "../lib/unless-missing.ts";
import { ok, problem, warning, type Check } from "./check.ts";
import { CGROUP_CONTROLLERS, lookAtHierarchy } from "../vmm/hierarchy.ts";
import { openSwaps } from "./swap.ts";

export interface Requirement {
  name: string;
  /** The rest of a sentence that begins with "it protects". */
  protects: string;
  /** Shows by hand what is looked at. */
  command: string;
  remedy: string;
  look(root: string): Promise<Seen>;
}

interface Seen {
  /** What is there, in a few words, and whether it is good: undefined, it cannot be told. */
  seen: string;
  isFine: boolean | undefined;
  /** It keeps every microVM from running. */
  isObstacle?: boolean;
  /** Where it is another than the row's. */
  remedy?: string;
}

const VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities";
/** In the kernel's own words, e.g. "KVM: Vulnerable", "Mitigation: …; SMT vulnerable", "Unknown: No mitigations". */
const OPEN = /\bvulnerable\b|\bno mitigations\b/i;
/** Series of host kernels that the makers of VMMs test on. */
const TESTED = ["5.10", "6.1", "6.18"];

export const PRODUCTION: readonly Requirement[] = [
  {
    name: "smt",
    protects: "what a guest computes from another on the same core",
    command: "cat /sys/devices/system/cpu/smt/active",
    remedy: "echo off > /sys/devices/system/cpu/smt/control, and nosmt on the kernel's command line",
    look: async (root) => {
      const active = await read(root, "/sys/devices/system/cpu/smt/active");
      if (active === undefined) return { isFine: undefined, seen: "Whether cores have two threads is not said here" };
      return { isFine: active !== "1", seen: active === "1" ? "SMT is on" : "No core has two threads" };
    },
  },
  {
    name: "ksm",
    protects: "what a guest has in memory from being measured by another",
    command: "grep . /sys/kernel/mm/ksm/run /sys/kernel/mm/ksm/pages_shared",
    remedy: "echo 2 > /sys/kernel/mm/ksm/run",
    look: async (root) => {
      const [run, shared] = await Promise.all(
        ["run", "pages_shared"].map((file) => read(root, `/sys/kernel/mm/ksm/${file}`)),
      );
      if (run === "1") return { isFine: false, seen: "Same pages are merged (KSM)" };
      // Who writes 0 ends the merging, and keeps what was merged.
      if (Number(shared ?? 0) > 0) return { isFine: false, seen: `${shared} pages are still merged (KSM)` };
      return { isFine: true, seen: "Same pages are not merged" };
    },
  },
  {
    name: "swap",
    protects: "what a person typed from staying on the disk",
    command: "cat /proc/swaps",
    remedy: "swapoff -a, and take it out of /etc/fstab; or encrypt it",
    look: async (root) => {
      const open = await openSwaps(root);
      return {
        isFine: open.length === 0,
        seen: open.length === 0 ? "No open swap" : `Swap in the open: ${open.join(", ")}`,
      };
    },
  },
  {
    name: "cgroup",
    protects: "the host from a VMM that takes all its memory, processors or processes",
    command: "cat /sys/fs/cgroup/cgroup.controllers",
    remedy: "boot with systemd.unified_cgroup_hierarchy=1",
    look: async (root) => {
      const { obstacle, gap } = await lookAtHierarchy(root);
      if (obstacle) return { ...obstacle, isFine: false, isObstacle: true };
      if (gap) return { ...gap, isFine: false };
      return { isFine: true, seen: `cgroup v2 bounds ${CGROUP_CONTROLLERS.join(", ")}` };
    },
  },
  {
    name: "kernel",
    protects: "the host from what is mended since, and lets a microVM be ended at one stroke (cgroup.kill)",
    command: "uname -r",
    remedy: "run a kernel of Debian 12 or newer",
    look: async (root) => {
      const release = (await read(root, "/proc/sys/kernel/osrelease")) ?? "";
      const isTested = TESTED.some((series) => release === series || release.startsWith(`${series}.`));
      const seen = `Linux ${release}${isTested ? "" : `, none of those that VMMs are tested on (${TESTED.join(", ")})`}`;
      return { isFine: isAtLeast(release, "5.14"), seen };
    },
  },
  {
    name: "cpu",
    protects: "host and guests from what a processor lets others read",
    command: `grep -ri -e vulnerable -e 'no mitigations' ${VULNERABILITIES}`,
    remedy:
      "apt-get install amd64-microcode or intel-microcode, a current kernel, and boot; SMT off where that is named; in a virtual machine: its host",
    look: async (root) => {
      const names = await unlessMissing(readdir(join(root, VULNERABILITIES)), undefined);
      if (!names) return { isFine: undefined, seen: "What is open in the processor is not said here" };
      const states = await Promise.all(names.map((name) => read(root, `${VULNERABILITIES}/${name}`)));
      const open = names.flatMap((name, index) => {
        const state = states[index] ?? "";
        if (!OPEN.test(state)) return [];
        return OPEN.test(state.replace(/SMT vulnerable/, "")) ? name : `${name} (SMT)`;
      });
      return {
        isFine: open.length === 0,
        seen: open.length === 0 ? "Nothing known is open" : `Vulnerable: ${open.join(", ")}`,
      };
    },
  },
  {
    name: "bpf",
    protects: "the host's kernel from programs of users without rights",
    command: "cat /proc/sys/kernel/unprivileged_bpf_disabled",
    remedy: "sysctl -w kernel.unprivileged_bpf_disabled=1",
    look: async (root) => {
      const isOpen = (await read(root, "/proc/sys/kernel/unprivileged_bpf_disabled")) === "0";
      return { isFine: !isOpen, seen: isOpen ? "Every user may load BPF" : "BPF is root's" };
    },
  },
  {
    name: "perf",
    protects: "host and guests from being measured by users without rights",
    command: "cat /proc/sys/kernel/perf_event_paranoid",
    remedy: "sysctl -w kernel.perf_event_paranoid=3",
    look: async (root) => {
      const level = Number((await read(root, "/proc/sys/kernel/perf_event_paranoid")) ?? Infinity);
      return {
        isFine: level >= 2,
        seen: level >= 2 ? "The kernel's counters are root's" : "Every user may count in the kernel",
      };
    },
  },
  {
    name: "kvm device",
    protects: "the host's kernel from virtual machines of its other users",
    command: "stat -c %A /dev/kvm",
    remedy: "chmod o-rwx /dev/kvm, and a udev rule that keeps it so",
    look: async (root) => {
      const device = await unlessMissing(stat(join(root, "/dev/kvm")), undefined);
      const isOpen = device !== undefined && (device.mode & 0o007) !== 0;
      return { isFine: !isOpen, seen: isOpen ? "Every user may open /dev/kvm" : "/dev/kvm is not everybody's" };
    },
  },
];

/** `root`: what stands before /proc, /sys and /dev; tests have trees of their own. */
export const production = (root = "/"): Check[] =>
  PRODUCTION.map((row) => ({
    name: row.name,
    look: async () => {
      const { isFine, seen, isObstacle, remedy = row.remedy } = await row.look(root);
      if (isObstacle) return problem(`${seen}: no microVM can start.`, remedy);
      if (isFine === undefined) return { result: "unchecked", text: `${seen}. It would protect ${row.protects}.` };
      return isFine
        ? ok(`${seen}: protects ${row.protects}.`)
        : warning(`${seen}. Mended, it protects ${row.protects}.`, remedy);
    },
  }));

/** Undefined where this kernel has no such file: then it has not what is looked for either. */
const read = async (root: string, file: string): Promise<string | undefined> =>
  (await unlessMissing(readFile(join(root, file), "utf8"), undefined))?.trim();
