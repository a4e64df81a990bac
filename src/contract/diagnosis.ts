/**
 * Facts that a diagnosis is made of, gathered in one read-only pass. A field that is absent could not be learned, and the
 * reason is in `missing`; null means that it was looked for and is not there.
 */
import { z } from "zod";

const text = z.string().max(512);
/** Words of the guest's that our sentences quote have a shape that no sentence of its own fits into. */
const linkName = z.string().regex(/^[\w.@:-]{1,15}$/);
const address = z.union([z.ipv4(), z.ipv6()]);
const path = z.string().regex(/^(?:\/[\w.@+-]{1,100}){0,16}$/);
const unit = z.string().regex(/^[\w:.@\\-]{1,256}$/);
const lines = z.array(z.string().max(1024)).max(200);

const unitFacts = z.object({
  name: unit,
  /** Where the unit is defined: an image's own are below /etc/systemd/system. */
  file: text,
  load: text,
  active: text,
  sub: text,
  /** `enabled`, `disabled`, `masked`, `static`, … */
  fileState: text,
  /** `success`, `exit-code`, `signal`, `oom-kill`, … */
  result: text,
  /** Exit status of the main process; 203 is systemd's EXEC. */
  exitStatus: z.int(),
  restarts: z.int(),
  /** `journal`, `journal+console`, … */
  standardOutput: text,
});

/** Said by the guest through the channel, so it needs no network; hostile, therefore bounded. */
export const guestFacts = z.object({
  uptimeSec: z.number(),
  cmdline: z.string().max(4096),
  links: z.array(z.object({ name: linkName, mac: text, driver: text, state: text, hasCarrier: z.boolean() })).max(32),
  /** What hangs on the virtio bus; type 1 is a network card. An empty driver: nothing has taken the device. */
  virtioDevices: z.array(z.object({ name: text, type: z.int(), driver: text })).max(64),
  /** `origin`: the .network file that names the address, `DHCP`, `kernel`, or `unknown`. */
  addresses: z.array(z.object({ link: linkName, address, prefixLength: z.int(), origin: text })).max(64),
  /** IPv4 only; the destination `default`, or address and prefix length. */
  routes: z.array(z.object({ destination: text, gateway: z.union([z.ipv4(), z.literal("")]), link: linkName })).max(64),
  /** networkd's own view of eth0; null when networkd does not answer. */
  networkd: z.object({ operational: text, setup: text, networkFile: path }).nullable(),
  /** The units that this guest is made of, and every unit file of the image below /etc/systemd/system. */
  units: z.array(unitFacts).max(128),
  failedUnits: z.array(unit).max(64),
  listening: z.array(z.object({ address: text, port: z.int() })).max(128),
  memory: z.object({ totalMib: z.number(), availableMib: z.number(), oomKills: z.int() }),
  overlayUsedPercent: z.number(),
  /** As in `health`. */
  browser: z.enum(["absent", "running", "painted"]),
  /** Last lines of the journal, of the units that matter. */
  journal: lines,
  /** Parts that the guest itself could not learn, and why; their lists are empty. */
  missing: lines,
});
export type GuestFacts = z.infer<typeof guestFacts>;

/** What takes a program to find out, apart from the rest: in a guest short of processors it takes seconds. */
export const guestUnits = guestFacts.pick({ units: true, failedUnits: true, missing: true });
export type GuestUnits = z.infer<typeof guestUnits>;
/** What is read from files, at once. */
export const guestMachine = guestFacts.omit({ units: true, failedUnits: true, journal: true });
export type GuestMachine = z.infer<typeof guestMachine>;

/** What a guest has sent over its channel, and what that cost. */
export const channelTraffic = z.object({
  bytes: z.number(),
  /** Lines that answered nothing that had been asked. */
  garbageLines: z.number(),
  /** The controller's time, in milliseconds. */
  spentMs: z.number(),
  /** It cost so much for so long that the channel was closed. */
  isFlooding: z.boolean(),
});
export type ChannelTraffic = z.infer<typeof channelTraffic>;

/** What the end of a VMM's process means, whatever its VMM is. */
export const vmmEnd = z.enum([
  /** Without an error: its guest shut down or restarted. */
  "by-itself",
  /** By a signal that somebody else sent. */
  "killed",
  "out-of-memory",
  /** Its system call filter ended it. */
  "call-refused",
  /** What it had mapped was not there any more: a file that was cut short, huge pages that ran out. */
  "memory-gone",
  "crashed",
  /** A file of its own reached the largest size it may have: console or log. */
  "file-too-large",
  "misconfigured",
  /** With an error of its own. */
  "failed",
]);
export type VmmEnd = z.infer<typeof vmmEnd>;

/** What a microVM's cgroup has counted since its start; memory in MiB. */
export const cgroupFacts = z.object({
  memoryLimitMib: z.number(),
  memoryPeakMib: z.number(),
  /** Its processes that the kernel killed for want of memory. */
  oomKills: z.int(),
  /** How often its own limit had nothing left to give; 0 beside kills: the host as a whole ran out. */
  limitHits: z.int(),
  /** Processes and threads that were refused. */
  pidsMaxHits: z.int(),
});
export type CgroupFacts = z.infer<typeof cgroupFacts>;

/** Seen by the host without asking the guest. */
export const hostFacts = z.object({
  vmm: z.object({
    /** Absent: could not be learned. */
    isAlive: z.boolean().optional(),
    pid: z.int().nullable(),
    /** The process is stopped, by SIGSTOP or a debugger. */
    isStopped: z.boolean(),
    /** What the VMM itself says its machine does; absent when it does not answer. */
    machine: z.enum(["running", "paused", "shutdown", "other"]).optional(),
    /** How the process ended, in words; null while it runs, or when nobody saw it end. */
    exit: z.string().nullable(),
    /** What that means; null as `exit`. */
    end: vmmEnd.nullable(),
    /** Its cgroup's count of what was refused and ended in it; absent on a host without these controllers. */
    cgroup: cgroupFacts.optional(),
    logTail: lines,
  }),
  /** `waiting`: in a network namespace of its own, where its VMM opens it; it comes to the bridge when its guest is to run. */
  tap: z
    .union([
      z.literal("waiting"),
      z.object({
        isUp: z.boolean(),
        hasCarrier: z.boolean(),
        bridge: z.string().nullable(),
        /** Its port passes no other MAC's frames, none of another guest's, and none for somebody unknown. */
        isIsolated: z.boolean(),
        /** The bridge knows which port has the guest's MAC; it may not learn it. */
        hasForwardingEntry: z.boolean(),
        /** Frames from the guest (received by the TAP) and to it. */
        framesFromGuest: z.number(),
        framesToGuest: z.number(),
      }),
    ])
    .nullish(),
  /** `addresses`: `address/prefixLength`. */
  bridge: z.object({ isUp: z.boolean(), addresses: z.array(z.string()) }).nullish(),
  /** `state`: words of `ip neigh`; PERMANENT is one of the controller's. */
  neighbour: z.object({ mac: z.string(), state: z.string() }).nullish(),
  /** Null: our table is not there. */
  firewall: z.object({ isAdmitted: z.boolean(), counters: z.record(z.string(), z.number()) }).nullish(),
  /** Rules that are certain to drop what this guest needs: what is dropped and where; the host cannot reach it for some. */
  foreignDrops: z.array(z.object({ text: z.string(), keepsHostOut: z.boolean() })).optional(),
  isForwarding: z.boolean().optional(),
  /** Whether the guests' resolver answers for itself; one that takes too long is not known to be gone. */
  isResolving: z.boolean().optional(),
  /** Whether the leases name this microVM as the holder of its address. */
  isLeased: z.boolean().optional(),
  /** Address of another microVM that the guest says it has; null when it has none. Whose it is, is nobody's business. */
  takenAddress: z.string().nullish(),
  /** Absent: it was never opened. */
  channel: channelTraffic.optional(),
  memAvailableMib: z.number().optional(),
  /** Programs that ran or wanted to in the last minute, on average, and the processors there are for them. */
  load: z.object({ average: z.number(), processors: z.int() }).optional(),
  /** Below the data directory, as the VMM's unprivileged user may fill it. */
  diskFreeMib: z.number().optional(),
  /** `ok`, or what happened: ECONNREFUSED, EHOSTUNREACH, no answer. */
  reach: z.object({ health: z.string(), rfb: z.string() }).optional(),
});
export type HostFacts = z.infer<typeof hostFacts>;

/** Read out of the console's text. */
export const consoleFacts = z.object({
  bytes: z.number(),
  kernelVersion: z.string().nullable(),
  panic: z.string().nullable(),
  oops: z.string().nullable(),
  mountFailure: z.string().nullable(),
  /** The guest's own restart or power-off, as its kernel said it. */
  shutdown: z.string().nullable(),
  isEmergencyShell: z.boolean(),
  oomKills: lines,
  /** Units whose start failed, as PID 1 said it. */
  failedUnits: z.array(z.string()),
  /** The .network file that networkd said last it configures eth0 with. */
  networkFile: z.string().nullable(),
  /** Steps of the boot that left their line, in the order of a healthy one. */
  marks: z.array(z.string()),
  /** How often PID 1 said that it started a unit. */
  unitStarts: z.record(z.string(), z.int()),
  /** Processes of the guest's agent whose last words are there. */
  agentDeaths: z.int(),
  /** The end of the console, last line last. */
  tail: z.array(z.string()),
  /** Seconds since the console last grew. */
  lastLineAgeSec: z.number(),
});
export type ConsoleFacts = z.infer<typeof consoleFacts>;

export const facts = z.object({
  at: z.string(),
  /** The stage that is awaited; null when the session was ready. */
  stage: z.string().nullable(),
  /** How it started: one that was restored goes on from a warm snapshot, so it says nothing of a boot and has no `ip=`. */
  plan: z.enum(["boot", "restore"]),
  /** Something was waited for in vain. False: asked for out of turn; what is not there yet may still come. */
  isOverdue: z.boolean(),
  expected: z.object({
    address: z.string(),
    gateway: z.string(),
    mac: z.string(),
    tap: z.string(),
    bridge: z.string(),
  }),
  host: hostFacts,
  console: consoleFacts,
  /** Null when the channel is silent; absent when the guest was not asked: no channel yet, or a VMM that is gone or stopped. */
  guest: guestFacts.nullish(),
  /** What could not be learned, and why. */
  missing: z.array(z.string()),
});
export type Facts = z.infer<typeof facts>;

export const finding = z.object({
  code: z.string(),
  sentence: z.string(),
  hint: z.string(),
  /** Lines that prove it. */
  evidence: z.array(z.string()),
  /** Place in docs/verdicts.md. */
  anchor: z.string(),
});
export type Finding = z.infer<typeof finding>;

export const diagnosis = z.object({
  /** `nothing-wrong` when healthy, `still-booting`, `unknown` when no rule fits and something is wrong. */
  cause: finding,
  /** False for `nothing-wrong` and `still-booting`. */
  isProblem: z.boolean(),
  /** Rules that fit as well; a cause comes before what follows from it. */
  consequences: z.array(finding.pick({ code: true, sentence: true })),
  /** What was looked at and found in order. */
  ruledOut: z.array(z.string()),
  tookMs: z.number(),
});
export type Diagnosis = z.infer<typeof diagnosis>;
