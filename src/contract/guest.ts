/**
 * What host and guest agent say to each other over the channel: newline-delimited JSON-RPC 2.0 where **only the host asks**.
 * The guest never starts a message, so a message nobody asked for is garbage by definition. The guest is hostile: every
 * result is parsed by these schemas, and none of it names a path, a port or a command on the host.
 */
import { z } from "zod";
import { guestMachine, guestUnits } from "./diagnosis.ts";

export const GUEST_PROTOCOL = 2;

/** Name of the virtio-serial port; the guest finds it as /dev/virtio-ports/<name>. */
export const CHANNEL_PORT_NAME = "sallyport.0";

/** Where the VMM has vsock instead: the port that the guest listens on (its sallyport-channel.socket says the same number). */
export const CHANNEL_VSOCK_PORT = 1024;

/** TCP ports of every guest: the agent's answer to the host, its own pages (loopback only), and the screen. */
export const GUEST_PORTS = { health: 8080, page: 8081, rfb: 5901 } as const;

/**
 * Longest line either side accepts, in bytes without the newline. Empty lines mean nothing: the first byte of a connection is a
 * newline, which ends the half line that one before it may have left behind.
 */
export const MAX_LINE_BYTES = 256 * 1024;

/**
 * How each answer begins: the host looks no further at a line that does not, or whose id nobody waits for. Each id is answered once.
 * The host asks seldom, so what a guest can make it parse is little.
 */
export const ANSWER_HEAD = /^\{"jsonrpc":"2\.0","id":(\d{1,16}),/;

/** How deep lists and objects of an answer may lie in one another, and how many items and fields it may have; counted before it is parsed. */
export const MAX_ANSWER_DEPTH = 8;
export const MAX_ANSWER_PARTS = 4096;

/** Longest request line, header block and body that the loopback catcher takes, in bytes. */
export const MAX_CALLBACK_BYTES = 64 * 1024;

const shortText = z.string().max(256);
const ipv4 = z.ipv4();
const base64 = z.base64();

/** What the sealed box is bound to. Serialised by `sealingAad` in handover/sealing.ts, byte for byte the same on both sides. */
export const sealingContext = z.strictObject({
  sessionId: shortText,
  provider: shortText,
  userId: shortText,
  /** SHA-256 of the recipient's raw public key, base64url. */
  keyThumbprint: shortText,
  /** When the session ends, ISO 8601. */
  expiresAt: shortText,
});
export type SealingContext = z.infer<typeof sealingContext>;

/** HPKE (RFC 9180) output: X25519-HKDF-SHA256, HKDF-SHA256, AES-256-GCM, base mode. */
export const sealed = z.strictObject({ enc: base64.max(128), ciphertext: base64.max(MAX_LINE_BYTES - 1024) });
export type Sealed = z.infer<typeof sealed>;

export const guestSession = z.strictObject({
  sealing: sealingContext,
  /** Raw X25519 public key, base64; absent: nothing can be handed over, `listen` is refused. */
  recipientKey: base64.max(64).optional(),
  /** Shown on the waiting page. */
  providerTitle: shortText,
});
export type GuestSession = z.infer<typeof guestSession>;

export const guestNetwork = z.strictObject({
  /** Of one machine, not of a group. */
  mac: z.string().regex(/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/),
  address: ipv4,
  prefixLength: z.int().min(1).max(31),
  gateway: ipv4,
});

const empty = z.strictObject({});

export const unitName = z.string().regex(/^[a-zA-Z0-9@._:][a-zA-Z0-9@._:-]{0,127}$/);
export const MAX_JOURNAL_UNITS = 64;

/**
 * Method → shapes. Additions are allowed within one protocol number; a changed meaning needs a new number. Each request is answered
 * once, in any order, with `result` or with `error`: codes of JSON-RPC 2.0, and -32000 where the agent refuses, with a sentence for
 * people. What the agent was told and has caught is in its memory: it lasts as long as the guest, and not longer.
 */
export const guestMethods = {
  hello: {
    params: z.strictObject({ protocol: z.int() }),
    result: z.object({
      protocol: z.int(),
      agentVersion: shortText,
      bootId: shortText,
      kernelRelease: shortText,
      /** Seconds since the guest's kernel started. */
      uptimeSec: z.number(),
    }),
  },
  /**
   * In a template: nothing in it keeps it from being frozen, and its clones can be renewed, which is tried once. The files that only
   * one machine may have (a saved random seed) are gone; what programs have read of the disk stays in memory, for all clones. Refused
   * once there is a session.
   */
  settle: { params: empty, result: empty },
  /**
   * In a clone, before anything else: makes each random generator that came with the template's memory new, the kernel's first, and
   * the boot id. Refused where that failed for any of them, and once there is a session: then pages from outside may have been there.
   */
  renew: {
    params: z.strictObject({
      /** Fresh random bytes of the host's, at least 64. */
      entropy: base64.min(88).max(1024),
    }),
    result: z.object({
      /** Firefox's own and its content processes, each of which has said that it took fresh bytes. */
      browserProcesses: z.int().min(2).max(64),
    }),
  },
  /**
   * Gives the machine its identity. May be called again; each part present is applied, all at the same time. The session is given once: the same again changes
   * nothing, another one is refused, and so is one whose key is not that of its `keyThumbprint`.
   */
  configure: {
    params: z.strictObject({
      hostname: z
        .string()
        .regex(/^[a-z0-9-]{1,63}$/)
        .optional(),
      machineId: z
        .string()
        .regex(/^[0-9a-f]{32}$/)
        .optional(),
      /** Host's wall clock, milliseconds since 1970. */
      clockMs: z.int().optional(),
      nameserver: ipv4.optional(),
      /** Only after a restore: the clone's own, on eth0 when the answer comes. A cold boot has it from `ip=` and its device. */
      network: guestNetwork.optional(),
      session: guestSession.optional(),
    }),
    result: empty,
  },
  health: {
    params: empty,
    result: z.object({
      uptimeSec: z.number(),
      /** First global IPv4 address of eth0, `a.b.c.d/p`, or null. */
      address: shortText.nullable(),
      isDisplayUp: z.boolean(),
      /** `absent`, `running` (process seen), `painted` (the waiting page was drawn), in that order. */
      browser: z.enum(["absent", "running", "painted"]),
      memAvailableMib: z.number(),
    }),
  },
  /**
   * Opens a URL in the running Firefox, in the current tab. The host has checked the URL; the agent checks https again. Refused while
   * there is no Firefox.
   */
  open: { params: z.strictObject({ url: z.url().max(8192) }), result: empty },
  /**
   * Starts the loopback catcher: one request (GET or POST) to `http://localhost:<port><path>`, then it closes. The same again changes
   * nothing; refused for another port or path until `answer`, without a recipient key, and where the port is taken.
   */
  listen: {
    params: z.strictObject({ port: z.int().min(1024).max(65535), path: z.string().startsWith("/").max(1024) }),
    result: empty,
  },
  /**
   * Waits up to `waitMs` for the caught request. Repeatable: the same box, to whoever asks and however long the controller was away,
   * until `answer` or the end of the VM; null before there is one and after `answer`.
   */
  collect: {
    params: z.strictObject({ waitMs: z.int().min(0).max(30_000) }),
    result: z.object({ caught: sealed.nullable() }),
  },
  /**
   * The tool's own reply for the waiting browser, sealed by the requester with the box's answer key, which only who opened the box
   * has: so it is the acknowledgement as well, and the guest forgets the box. Taken also when the browser waits no longer, and a
   * second time; refused when it was sealed for another box, and when nothing was caught.
   */
  answer: { params: z.strictObject({ sealedAnswer: base64.max(MAX_LINE_BYTES - 1024) }), result: empty },
  /** All that the guest knows of itself that can keep it from being reachable: what files tell, at once. */
  facts: { params: empty, result: guestMachine },
  /** The rest of it, which systemd has to be asked for. */
  units: { params: empty, result: guestUnits },
  /** The end of the guest's journal, newest last; without control characters but tabs and line ends. */
  journal: {
    params: z.strictObject({
      /** Of these units alone, and of what systemd says of them; of everything when there is none. */
      units: z.array(unitName).max(MAX_JOURNAL_UNITS),
      lines: z.int().min(1).max(500),
    }),
    result: z.object({ text: z.string().max(200_000) }),
  },
} as const;

export type GuestMethod = keyof typeof guestMethods;
export type GuestParams<M extends GuestMethod> = z.infer<(typeof guestMethods)[M]["params"]>;
export type GuestResult<M extends GuestMethod> = z.infer<(typeof guestMethods)[M]["result"]>;

const rpc = { jsonrpc: z.literal("2.0"), id: z.int() };
export const rpcRequest = z.strictObject({ ...rpc, method: z.string(), params: z.unknown() });
export const rpcResponse = z.union([
  z.object({ ...rpc, result: z.unknown() }),
  z.object({ ...rpc, error: z.object({ code: z.int(), message: z.string().max(4096) }) }),
]);

/** The plaintext inside a sealed box: the request exactly as the browser sent it. */
export const caughtRequest = z.object({
  method: z.string(),
  /** Path and query, as on the request line. */
  target: z.string(),
  /** Raw header names and values in order, alternating. */
  rawHeaders: z.array(z.string()),
  /** One character per byte (latin1), like Node's raw headers, so that any bytes survive. */
  body: z.string(),
});
export type CaughtRequest = z.infer<typeof caughtRequest>;

/** The plaintext of `answer`: what the tool's listener replied. `body` is base64. */
export const callbackAnswer = z.object({
  status: z.int().min(200).max(599),
  headers: z.array(z.tuple([z.string().max(256), z.string().max(8192)])).max(64),
  body: base64,
});
export type CallbackAnswer = z.infer<typeof callbackAnswer>;
