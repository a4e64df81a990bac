/**
 * Stages of a start after the VMM is up, in order: what is asked, of whom, for how long at most, and what a miss means.
 * Deadlines count from the stage before. They are sized for two busy cores under emulation, where a cold guest takes about
 * 40 s and a clone 3 s; a healthy one under KVM passes long before.
 */
import type { GuestChannel } from "../channel/channel.ts";
import { GUEST_PORTS } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { oneLine } from "../lib/terminal.ts";
import { orAfter } from "../lib/wait.ts";
import type { StartStage } from "../contract/session.ts";
import { consoleSize } from "../vmm/console.ts";
import { MicrovmFailure } from "./failure.ts";
import type { MicrovmDeps } from "./microvm.ts";
import { probeHealth, probeRfb } from "./probes.ts";
import type { Microvm } from "./store.ts";

export interface StageContext {
  address: string;
  consoleFile: string;
  channel: GuestChannel;
  /** Seconds after which an unreachable guest is given up. */
  unreachableSec: number;
  /** Deadlines that the configuration sets in place of the rules' own. */
  deadlinesSec: Partial<Record<StartStage, number>>;
  /** So many times the deadlines; default 1. */
  patience?: number;
}

/** What is the same for each guest of this controller, and its own. */
export const contextOf = (
  { config, paths }: Pick<MicrovmDeps, "config" | "paths">,
  vm: Pick<Microvm, "id" | "address">,
): Omit<StageContext, "channel" | "patience"> => ({
  address: vm.address,
  consoleFile: paths.vm(vm.id).console,
  unreachableSec: config.session.unreachableSec,
  deadlinesSec: config.session.deadlinesSec,
});

/** What is done to a guest on its way, when its turn has come. */
export interface Steps {
  /** The guest's agent learns who it is. */
  introduce: (timeoutMs: number) => Promise<void>;
  /** Its TAP joins the bridge. */
  join: () => Promise<void>;
}

export interface StageRule {
  stage: StartStage;
  source: string;
  deadlineMs: (context: StageContext) => number;
  /** From then on somebody looks for what is in the way: well beyond what a healthy guest takes under emulation. */
  slowMs: number;
  /** Undefined when passed, else what was seen instead, in words. Answers or throws within `timeoutMs`. */
  check: (context: StageContext, timeoutMs: number) => Promise<string | undefined>;
  /** Milliseconds from one question to the next; default 500. */
  intervalMs?: number;
  /** What is done then, as the rest of the stage. Throws MicrovmFailure. */
  finish?: (steps: Steps, deadlineMs: number) => Promise<void>;
  /** The verdict when the deadline is missed. */
  missed: { code: string; sentence: string; hint: string };
}

/** How long a stage may take from the one before it. */
export const deadlineMsOf = (rule: StageRule, context: StageContext): number => {
  const configuredSec = context.deadlinesSec[rule.stage];
  const deadlineMs = configuredSec === undefined ? rule.deadlineMs(context) : configuredSec * 1000;
  return deadlineMs * (context.patience ?? 1);
};

/** For one question of the introduction: more than the agent has for a renewal, 10 s for the kernel's and 15 s for Firefox's. */
const IDENTITY_MS = 30_000;

/** Its agent answers, and is told who it is. */
const MEETING: Pick<StageRule, "check" | "finish"> = {
  check: async ({ channel }, timeoutMs) => {
    await channel.call("health", {}, { timeoutMs });
    return undefined;
  },
  finish: ({ introduce }, deadlineMs) => introduce(Math.min(IDENTITY_MS, deadlineMs)),
};

const NOT_JOINED = {
  code: "guest-not-joined",
  sentence: "The virtual machine has its own address, but could not be connected to the bridge.",
  hint: "Run sallyport doctor on this host.",
};

const late = (): never => {
  throw new MicrovmFailure("joined", NOT_JOINED);
};

/** What the host refuses; a bug of ours stays one. */
const notJoined = (error: unknown): never => {
  if (!(error instanceof AppError)) throw error;
  throw new MicrovmFailure("joined", { ...NOT_JOINED, evidence: [oneLine(error.message)], cause: error });
};

const RULES: Record<Exclude<StartStage, "leased" | "vmm-up" | "restored">, Omit<StageRule, "stage">> = {
  kernel: {
    source: "console",
    deadlineMs: () => 60_000,
    slowMs: 10_000,
    check: async ({ consoleFile }) => ((await consoleSize(consoleFile)) > 0 ? undefined : "the console is empty"),
    missed: {
      code: "kernel-silent",
      sentence: "The virtual machine runs, but its kernel wrote nothing to the console.",
      hint: "Check that KVM works (sallyport doctor); set vm.accel: emulation to leave it out.",
    },
  },
  agent: {
    source: "channel",
    deadlineMs: () => 180_000,
    // Shorter than a healthy one may take: until the agent has spoken, a look costs the guest nothing.
    slowMs: 10_000,
    ...MEETING,
    missed: {
      code: "agent-silent",
      sentence: "The guest's kernel started, but its agent never answered on the channel.",
      hint: "Read the console (sallyport console <session>): look for a failed mount, a panic, sallyport-agent or sallyport-channel.",
    },
  },
  addressed: {
    source: "channel",
    deadlineMs: ({ unreachableSec }) => unreachableSec * 1000,
    slowMs: 5_000,
    check: async ({ channel, address }, timeoutMs) => {
      const seen = (await channel.call("health", {}, { timeoutMs })).address;
      return seen?.split("/")[0] === address
        ? undefined
        : `eth0 has ${seen === null ? "no IPv4 address" : oneLine(seen)}`;
    },
    missed: {
      code: "guest-without-address",
      sentence: "The guest is alive, but its eth0 never got the address that the host gave it.",
      hint: "See which .network file is in force in the evidence: nothing but ip= may configure eth0.",
    },
  },
  reachable: {
    source: "network",
    deadlineMs: ({ unreachableSec }) => unreachableSec * 1000,
    slowMs: 5_000,
    intervalMs: 50,
    check: ({ address }, timeoutMs) => probeHealth(address, timeoutMs),
    missed: {
      code: "guest-unreachable",
      sentence: `The guest has its address, but http://<guest>:${GUEST_PORTS.health}/health does not answer from the host.`,
      hint: "Check the TAP, the bridge and the firewall in the evidence's host facts.",
    },
  },
  display: {
    source: "network",
    deadlineMs: () => 90_000,
    slowMs: 20_000,
    check: ({ address }, timeoutMs) => probeRfb(address, timeoutMs),
    missed: {
      code: "display-missing",
      sentence: `The guest is reachable, but its screen (Xvnc on port ${GUEST_PORTS.rfb}) does not answer.`,
      hint: "Read sallyport-display.service's lines on the console.",
    },
  },
  browser: {
    source: "channel",
    deadlineMs: () => 240_000,
    slowMs: 90_000,
    check: async ({ channel }, timeoutMs) => {
      const { browser } = await channel.call("health", {}, { timeoutMs });
      return browser === "painted" ? undefined : `Firefox is ${browser}`;
    },
    missed: {
      code: "browser-missing",
      sentence: "The guest's screen is up, but Firefox never drew its first page.",
      hint: "Read sallyport-browser.service's lines on the console; give the guest more memory (vm.memoryMib).",
    },
  },
  identity: {
    source: "channel",
    deadlineMs: () => 60_000,
    slowMs: 10_000,
    intervalMs: 50,
    ...MEETING,
    missed: {
      code: "clone-silent",
      sentence: "The virtual machine was restored, but its agent never answered on the channel.",
      hint: "Its warm snapshot is of no use: make another (sallyport image warm).",
    },
  },
  joined: {
    source: "network",
    deadlineMs: () => 30_000,
    slowMs: 5_000,
    check: async () => undefined,
    finish: ({ join }, deadlineMs) => orAfter(join(), deadlineMs, late).catch(notJoined),
    missed: NOT_JOINED,
  },
  screen: {
    source: "network",
    deadlineMs: () => 30_000,
    slowMs: 5_000,
    intervalMs: 50,
    check: async ({ channel, address }, timeoutMs) => {
      const [rfb, { browser }] = await Promise.all([
        probeRfb(address, timeoutMs),
        channel.call("health", {}, { timeoutMs }),
      ]);
      return rfb ?? (browser === "painted" ? undefined : `Firefox is ${browser}`);
    },
    missed: {
      code: "clone-without-screen",
      sentence: `The virtual machine was restored and is reachable, but its screen (port ${GUEST_PORTS.rfb}) or its Firefox is not there.`,
      hint: "Its warm snapshot is of no use: make another (sallyport image warm).",
    },
  },
};

const named = (stages: readonly (keyof typeof RULES)[]): StageRule[] =>
  stages.map((stage) => ({ stage, ...RULES[stage] }));

/** By how it starts. What a template is for has no network: nobody but the host's end of the channel ever speaks to it. */
export const STAGE_RULES = {
  boot: named(["kernel", "agent", "addressed", "reachable", "display", "browser"]),
  restore: named(["identity", "joined", "reachable", "screen"]),
  template: named(["kernel", "agent", "browser"]),
} as const satisfies Record<string, readonly StageRule[]>;
