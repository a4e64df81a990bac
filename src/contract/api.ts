/** Shapes of the HTTP API (spec: product, "Interfaces"). Unknown fields are refused. */
import { z } from "zod";
import { diagnosis, facts } from "./diagnosis.ts";
import { sealed } from "./guest.ts";
import { providerName } from "./provider.ts";
import { goneResource, sessionState, stageRecord, verdict, warning } from "./session.ts";

/** Who a session is for, as an account, an address or another system's id. It is shown to people, so it can look like nothing else. */
export const userId = z
  .string()
  .max(128)
  .regex(
    /^[A-Za-z0-9][\w.@+:|=~/-]*$/,
    "must be 1-128 of a-z A-Z 0-9 . _ @ + : | = ~ / -, beginning with a letter or digit",
  );

/** What a person wrote for people: no control characters, nothing invisible, nothing that turns the direction of writing. */
const note = z
  .string()
  .max(100)
  .refine((text) => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text), "must be visible characters on one line");

export const startRequest = z.strictObject({
  provider: providerName,
  /** The caller's own, or, with scope `act-as`, one of its users. Absent: the caller's own. */
  userId: userId.optional(),
  /** Raw X25519 public key, base64. Absent: a browser, and nothing handed over. */
  recipientKey: z
    .base64()
    .refine((key) => Buffer.from(key, "base64").length === 32, "must be 32 bytes, base64")
    .optional(),
});
export type StartRequest = z.infer<typeof startRequest>;

/** `success … browserIP` are what callers were promised first, under these names; the rest was added to it. */
export const startResponse = z.object({
  success: z.literal(true),
  sessionId: z.string(),
  provider: z.string(),
  userId: z.string(),
  /** Viewer page; holds no secret. */
  novncURL: z.string(),
  browserIP: z.string(),
  /** Shown to the requester only; the viewer page asks for it. */
  pairingCode: z.string(),
  expiresAt: z.string(),
  links: z.object({
    self: z.string(),
    events: z.string(),
    novnc: z.string(),
    credentials: z.string(),
    receipt: z.string(),
  }),
});
export type StartResponse = z.infer<typeof startResponse>;

const vmmChoice = z.object({
  /** Name of the VMM backend. */
  backend: z.string(),
  /** Hardware virtualisation, or slower by an order of magnitude. Null, as `why`: started by an earlier version. */
  accel: z.enum(["kvm", "emulation"]).nullable(),
  /** For people. */
  why: z.string().nullable(),
});

/** Also each server-sent event: the whole after each change, so that a client that missed some is right again at once. */
export const sessionView = z.object({
  sessionId: z.string(),
  /** `hst_…`: the machine that runs it, the same at each of its starts. */
  hostId: z.string(),
  provider: z.string(),
  userId: z.string(),
  state: sessionState,
  stages: z.array(stageRecord),
  browserIP: z.string().nullable(),
  vmId: z.string().nullable(),
  /** What runs its microVM, and why that was chosen; null before there is one. */
  vm: vmmChoice.nullable(),
  createdAt: z.string(),
  expiresAt: z.string(),
  hasViewer: z.boolean(),
  /** Wrong pairing codes so far; at five the screen is locked for good. */
  wrongPairingCodes: z.int(),
  /** Whether a sealed result waits, was taken, or cannot exist (`none-possible`: no recipientKey). */
  credential: z.enum(["none-possible", "awaited", "waiting", "taken"]),
  /** While it lives: what keeps its guest from going on, named before the deadline says so. */
  warning: warning.nullable(),
  verdict: verdict.nullable(),
  /** How it ended; null while it lives. */
  outcome: z.enum(["signed-in", "destroyed-by-request", "expired", "failed"]).nullable(),
  /** Everything of its microVM was seen gone; the receipt can be fetched. Nothing changes any more. */
  hasReceipt: z.boolean(),
});
export type SessionView = z.infer<typeof sessionView>;

export const diagnosisResponse = z.object({
  /** A look at the microVM as it is now; null when the session has none, and what was found when it failed is in `verdict`. */
  diagnosis: diagnosis.nullable(),
  facts: facts.nullable(),
  verdict: verdict.nullable(),
  stages: z.array(stageRecord),
});
export type DiagnosisResponse = z.infer<typeof diagnosisResponse>;

export const openRequest = z.strictObject({
  /** What the tool wants to open. https, host on the provider's list, PKCE S256 where a callback is caught. */
  url: z.string().max(8192),
  /** Loopback callback to catch, as in the URL's redirect_uri. Absent in mode `open`. */
  callback: z.strictObject({ port: z.int(), path: z.string().startsWith("/").max(1024).default("/") }).optional(),
});
export type OpenRequest = z.infer<typeof openRequest>;

export const credentialsResponse = z.object({ sealed });

/** The tool's own reply for the browser in the guest, sealed with the box's answer key. */
export const answerRequest = z.strictObject({ sealedAnswer: z.base64().max(200_000) });

export const pairRequest = z.strictObject({ pairingCode: z.string().max(32) });
export const ticketResponse = z.object({
  /** Offered as WebSocket subprotocol `sallyport.ticket.<ticket>`, beside `binary`. */
  ticket: z.string(),
  expiresInSec: z.number(),
});

export type TicketResponse = z.infer<typeof ticketResponse>;

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  /** Stable code, e.g. `no-image`. */
  code: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
  fields: z.array(z.string()).optional(),
});
export type Problem = z.infer<typeof problem>;

export const vmView = z.object({
  vmId: z.string(),
  /** Null: it is booted to make a warm snapshot of. */
  sessionId: z.string().nullable(),
  backend: z.string(),
  tap: z.string(),
  address: z.string(),
  pid: z.int().nullable(),
  createdAt: z.string(),
  /** Resources not yet seen gone. */
  holds: z.array(goneResource.pick({ kind: true, ref: true })),
});
export type VmView = z.infer<typeof vmView>;

export const imageView = z.object({
  name: z.string(),
  digest: z.string(),
  base: z.string(),
  builtAt: z.string(),
  bytes: z.number(),
});
export type ImageView = z.infer<typeof imageView>;

/** The snapshot that sessions start from in place of a boot. */
export const warmView = z.object({
  isOn: z.boolean(),
  /** Null: there is none, or none for this image, host and age. Whether its files are whole is found out when it is used. */
  snapshot: z
    .object({
      imageDigest: z.string(),
      madeAt: z.string(),
      /** Milliseconds that the same machine took cold, until its Firefox had painted. */
      coldMs: z.number(),
      vmm: z.string(),
    })
    .nullable(),
  /** Clones that wait for a session each, and how many there should be. */
  pool: z.object({ size: z.int(), ready: z.int() }),
  /** What the making of another is at, in words; null while none is made. */
  doing: z.string().nullable(),
  /** Why the last one could not be made; null when it could, or none was tried. */
  failure: z.string().nullable(),
});
export type WarmView = z.infer<typeof warmView>;

/** An API key as it may be written. */
export const apiKeyText = /^[\x21-\x7e]{1,200}$/;

export const scope = z.enum(["login", "act-as", "operate"]);
export type Scope = z.infer<typeof scope>;

/** Who calls. */
export interface KeyHolder {
  keyId: string;
  userId: string;
  scopes: Scope[];
}

export const keyRequest = z.strictObject({ userId, scopes: z.array(scope).min(1), label: note.optional() });
export const keyView = z.object({
  id: z.string(),
  userId: z.string(),
  scopes: z.array(scope),
  label: z.string(),
  createdAt: z.string(),
  revokedAt: z.string().nullable(),
});
export type KeyView = z.infer<typeof keyView>;
/** `key` is shown once and stored only as a hash. */
export const keyCreated = keyView.extend({ key: z.string() });

export const reapRequest = z.strictObject({ dryRun: z.boolean().default(false) });
const names = z.array(z.string());
export const reapResponse = z.object({ found: names, removed: names, failed: names });
export type ReapResponse = z.infer<typeof reapResponse>;
