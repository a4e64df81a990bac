/** The HTTP API as functions; the one our own command line uses. Every answer is parsed, every problem is an AppError. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import {
  credentialsResponse,
  diagnosisResponse,
  imageView,
  keyCreated,
  keyView,
  reapResponse,
  sessionView,
  startResponse,
  vmView,
  warmView,
  type OpenRequest,
  type SessionView,
  type StartRequest,
  type keyRequest,
} from "../contract/api.ts";
import type { Sealed } from "../contract/guest.ts";
import { providerRecipe } from "../contract/provider.ts";
import { receipt } from "../contract/session.ts";
import { AppError } from "../lib/errors.ts";
import { readEvents } from "./sse.ts";
import { anyOf, createTransport, readJson, type RequestOptions, type TransportOptions } from "./transport.ts";

export type Client = ReturnType<typeof createClient>;

/** Times in a row that a broken event stream is connected again, and the pause before the first of them. */
const MAX_RECONNECTS = 14;
const RECONNECT_MS = 500;

/** Removing process, TAP, firewall and directory, each seen gone, takes seconds on a busy host. */
const DESTROY_TIMEOUT_MS = 90_000;

/** Throws AppError `url-invalid`, `url-insecure`, `key-malformed`; the functions as described in transport.ts, and `bad-answer`. */
export const createClient = (options: TransportOptions) => {
  const transport = createTransport(options);

  const call = async <T extends z.ZodType>(shape: T, path: string, request?: RequestOptions): Promise<z.output<T>> =>
    parse(shape, await readJson(await transport.request(path, request)));
  /** For calls whose answer's body says nothing; it is read all the same, so that the connection is free again. */
  const tell = async (path: string, request: RequestOptions): Promise<void> => {
    await (await transport.request(path, request)).text();
  };
  const post = (body: unknown): RequestOptions => ({ method: "POST", body });

  /** Connects again when the stream breaks. */
  const events = async function* (sessionId: string, signal?: AbortSignal): AsyncGenerator<SessionView> {
    const ends = anyOf(signal, options.signal);
    for (let failures = 0; ;) {
      try {
        const accept = "text/event-stream";
        const response = await transport.request(`${sessionPath(sessionId)}/events`, { accept, signal });
        for await (const data of readEvents(response.body ?? noBody())) {
          failures = 0;
          const view = parse(sessionView, parseText(data));
          yield view;
          if (view.hasReceipt || view.state === "lost") return;
        }
      } catch (error) {
        ends.throwIfAborted();
        // What the controller says in words stays true; only a lost connection is worth another try.
        if (error instanceof AppError && error.code !== "controller-unreachable") throw error;
        if (failures >= MAX_RECONNECTS) throw error;
      }
      failures += 1;
      await sleep(Math.min(RECONNECT_MS * 2 ** (failures - 1), 10_000), undefined, { signal: ends });
    }
  };

  const followConsole = async function* (sessionId: string, signal?: AbortSignal): AsyncGenerator<string> {
    const path = `${sessionPath(sessionId)}/console?follow=true`;
    const response = await transport.request(path, { accept: "text/plain", signal });
    const decoder = new TextDecoder();
    try {
      for await (const piece of response.body ?? noBody()) yield decoder.decode(piece, { stream: true });
    } catch (cause) {
      anyOf(signal, options.signal).throwIfAborted();
      throw new AppError("unavailable", "stream-broken", "The connection to the controller broke off.", {
        hint: "Ask again: what the guest wrote is kept.",
        cause,
      });
    }
  };

  return {
    /** Answers at once, not after the boot. */
    start: (request: StartRequest) => call(startResponse, "/api/auth/start", post(request)),
    sessions: () => call(z.array(sessionView), "/api/sessions"),
    session: (id: string) => call(sessionView, sessionPath(id)),
    /** The view now and after each change, until nothing of it is left, or it is lost. */
    events,
    open: (id: string, request: OpenRequest) => tell(`${sessionPath(id)}/open`, post(request)),
    /** The sealed box, until it is answered; undefined while none is there (202). */
    credentials: async (id: string): Promise<Sealed | undefined> => {
      const response = await transport.request(`${sessionPath(id)}/credentials`);
      if (response.status !== 202) return parse(credentialsResponse, await readJson(response)).sealed;
      await response.text();
      return undefined;
    },
    answer: (id: string, sealedAnswer: string) => tell(`${sessionPath(id)}/answer`, post({ sealedAnswer })),
    /** Destroys now; the receipt says what was seen gone. */
    destroy: (id: string) => call(receipt, sessionPath(id), { method: "DELETE", timeoutMs: DESTROY_TIMEOUT_MS }),
    receipt: (id: string) => call(receipt, `${sessionPath(id)}/receipt`),
    /** The guest's console in pieces as it is written, until the session is over. Throws AppError `stream-broken`. */
    followConsole,
    /** A look at the session's microVM now, or the verdict of its end; takes a few seconds. */
    diagnosis: (id: string) => call(diagnosisResponse, `${sessionPath(id)}/diagnosis`),
    /** Everything known of a session: a tar, compressed with zstd. */
    evidence: async (id: string) => {
      const response = await transport.request(`${sessionPath(id)}/evidence`, { accept: "application/zstd" });
      return new Uint8Array(await response.arrayBuffer());
    },
    /** The guest's console so far. */
    console: async (id: string) =>
      (await transport.request(`${sessionPath(id)}/console`, { accept: "text/plain" })).text(),
    providers: () => call(z.array(providerRecipe), "/api/providers"),
    images: () => call(z.array(imageView), "/api/images"),
    vms: () => call(z.array(vmView), "/api/vms"),
    warm: () => call(warmView, "/api/warm"),
    /** Begins another warm snapshot; `warm` tells how far it is. */
    makeWarm: () => call(warmView, "/api/warm", { method: "POST" }),
    reap: (request: { dryRun: boolean }) =>
      call(reapResponse, "/api/reap", { ...post(request), timeoutMs: DESTROY_TIMEOUT_MS }),
    /** Removes bridge, firewall table and resolver of the host; refused while a microVM needs them. */
    removeNetwork: () => tell("/api/network", { method: "DELETE" }),
    keys: () => call(z.array(keyView), "/api/keys"),
    createKey: (request: z.infer<typeof keyRequest>) => call(keyCreated, "/api/keys", post(request)),
    revokeKey: (id: string) => tell(`/api/keys/${encodeURIComponent(id)}`, { method: "DELETE" }),
    /** Ends idle connections; nothing may be called afterwards. */
    close: () => transport.close(),
  };
};

const sessionPath = (sessionId: string): string => `/api/auth/session/${encodeURIComponent(sessionId)}`;

const parse = <T extends z.ZodType>(shape: T, content: unknown): z.output<T> => {
  const parsed = shape.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new AppError("internal", "bad-answer", "The controller's answer is not of the expected shape.", {
    hint: "Client and controller are probably of different versions.",
    context: { issues: parsed.error.issues },
  });
};

const parseText = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new AppError("internal", "bad-answer", "The controller sent an event that is not JSON.", { cause });
  }
};

const noBody = (): never => {
  throw new AppError("internal", "bad-answer", "The controller answered without an event stream.");
};
