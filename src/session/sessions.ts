/**
 * All that the API needs of sessions, in plain data, text and bytes: no path, no process and no guest's address is behind it, so that a
 * second implementation can answer for another host. Whoever calls has decided already who may: ids come from the outside and are
 * not trusted, keys are not known here. Every function that takes an id throws AppError `no-session` (404) for one that never was.
 */
import type { Duplex, Readable } from "node:stream";
import type {
  DiagnosisResponse,
  OpenRequest,
  SessionView,
  StartRequest,
  StartResponse,
  TicketResponse,
  VmView,
} from "../contract/api.ts";
import type { Sealed } from "../contract/guest.ts";
import type { Receipt, Viewing } from "../contract/session.ts";

/** Whose a session is: its user, and the key that started it, which may have acted for that user. */
export interface Owner {
  userId: string;
  keyId: string;
}

export interface Sessions {
  /** Answers as soon as the address is leased; the boot goes on. Throws AppErrors of kinds 404, 429, 503. */
  start(request: StartRequest, owner: Owner): Promise<Started>;
  get(id: string): Promise<SessionInfo>;
  /** Newest first. */
  list(filter: { seenBy?: Owner; limit: number }): Promise<SessionView[]>;
  /** The view now and after each change, the newest alone for who is slow; ends when nothing will change any more, or on the signal. */
  watch(id: string, signal: AbortSignal): AsyncIterable<SessionView>;
  /** Sends the tool's URL to the browser. Throws 422 `url-…` when a check fails; nothing is opened then. */
  open(id: string, request: OpenRequest): Promise<void>;
  /** The sealed box, until it was answered; undefined while it is awaited. Throws 409 without a key, 410 when answered or over. */
  credentials(id: string): Promise<Sealed | undefined>;
  /** Passes the tool's reply on to the browser that waits. Throws 409, 410. */
  answer(id: string, sealedAnswer: string): Promise<void>;
  /** Ends a session and waits until nothing of it is left. Throws what keeps something from being removed. */
  end(id: string): Promise<Receipt>;
  /** A look at its microVM now; takes seconds. */
  diagnose(id: string): Promise<Pick<DiagnosisResponse, "diagnosis" | "facts">>;
  /** All that is known of it, alive or over: a tar, compressed with zstd. Throws `no-evidence` (404). */
  evidence(id: string): Promise<Buffer>;
  /** What the guest has written so far, or what was kept of it: hostile text. */
  console(id: string): Promise<Readable>;
  /** The same as it grows, at its reader's speed, until the session is over; an empty piece says that nothing was written yet. */
  followConsole(id: string, signal: AbortSignal): AsyncIterable<string>;
  /** MicroVMs that still hold something, whose session may be over. */
  vms(): Promise<VmView[]>;
  viewers: Viewers;
}

/** The road of the one person at a session's screen: pairing code → cookie → ticket → bytes. */
export interface Viewers {
  /** The cookie's value. Throws 403, 409, 410, 429. */
  pair(id: string, code: string): Promise<string>;
  /** Throws `not-paired` (401). */
  requirePaired(id: string, cookie: string | undefined): Promise<void>;
  /** A right to open the screen once, within seconds. Throws `not-paired` (401), `too-many-tickets` (429). */
  ticket(id: string, cookie: string | undefined): Promise<TicketResponse>;
  /** Throws 410 with what became of it once the session is over, `not-paired` (401) before. */
  viewing(id: string, cookie: string | undefined): Promise<Viewing>;
  /**
   * The screen as the bytes of an RFB connection, and the end of the one before it. Destroying it leaves the seat. It is destroyed with
   * AppError `screen-taken` for the next one or because the session ends. Throws `bad-ticket` (401).
   */
  screen(id: string, ticket: string): Promise<Duplex>;
}

export type Started = Omit<StartResponse, "success" | "novncURL" | "links">;

export interface SessionInfo {
  view: SessionView;
  /** Id of the key that started it. */
  startedBy: string;
  /** Null until everything of its microVM was seen gone. */
  receipt: Receipt | null;
}
