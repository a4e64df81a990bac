/** Calls in flight: who waits for which id, and what an answer must look like. Knows nothing of sockets. */
import { randomInt } from "node:crypto";
import { ANSWER_HEAD, guestMethods, MAX_LINE_BYTES, rpcResponse } from "../contract/guest.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { jsonOf } from "../lib/json.ts";
import { oneLine } from "../lib/terminal.ts";
import type { CallOptions } from "./channel.ts";
import { decodeLine } from "./lines.ts";
import { isModest } from "./modest.ts";

interface Waiter {
  method: GuestMethod;
  resolve: (result: unknown) => void;
  reject: (reason: unknown) => void;
}

/** `ANSWER_HEAD` is found in as many. */
const HEAD_BYTES = 48;
/** Deadlines remembered; what a slow guest still answers to them is expected, once each. */
const EXPIRED_KEPT = 256;
/** Issues of a refused answer that reach the log; a guest decides how many there are. */
const ISSUES_TOLD = 3;

export const createCalls = () => {
  const waiters = new Map<number, Waiter>();
  const expired = new Set<number>();
  const expire = (id: number): void => {
    expired.add(id);
    for (const oldest of expired) if (expired.size > EXPIRED_KEPT) expired.delete(oldest);
  };
  // Not from 1: an answer meant for the controller before a restart must not fit a call of this one.
  let nextId = randomInt(2 ** 40);

  /** Registers a call; `line` is what has to be sent. Never settles later than its deadline. */
  const start = <M extends GuestMethod>(method: M, params: GuestParams<M>, { timeoutMs, signal }: CallOptions) => {
    signal?.throwIfAborted();
    const id = nextId++;
    const line = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    if (Buffer.byteLength(line) > MAX_LINE_BYTES) {
      throw new AppError("invalid", "channel-request-too-long", `A request "${method}" this long is not accepted.`);
    }
    const answer = new Promise<GuestResult<M>>((resolve, reject) => {
      const onAbort = (): void => fail(signal?.reason);
      const settled = (): void => {
        waiters.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const fail = (reason: unknown): void => {
        settled();
        reject(reason);
      };
      const timer = setTimeout(() => {
        expire(id);
        fail(noAnswer(method, timeoutMs));
      }, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      waiters.set(id, {
        method,
        resolve: (result) => {
          settled();
          resolve(result as GuestResult<M>);
        },
        reject: fail,
      });
    });
    return { id, line, answer };
  };

  /** Hands a line to whoever waits for it, or drops a late answer, unparsed; false when nobody asked for it. */
  const settle = (line: Buffer): boolean => {
    const id = Number(ANSWER_HEAD.exec(line.toString("latin1", 0, HEAD_BYTES))?.[1]);
    const waiter = waiters.get(id);
    if (!waiter) return expired.delete(id);
    const response = parseResponse(line);
    if (response?.id !== id) waiter.reject(wrongShape(waiter.method, []));
    else if ("error" in response) waiter.reject(refusal(waiter.method, response.error));
    else {
      const result = guestMethods[waiter.method].result.safeParse(response.result);
      if (result.success) waiter.resolve(result.data);
      else waiter.reject(wrongShape(waiter.method, result.error.issues));
    }
    return true;
  };

  return {
    start,
    settle,
    isWaiting: (id: number) => waiters.has(id),
    rejectAll: (reason: AppError) => [...waiters.values()].forEach((waiter) => waiter.reject(reason)),
  };
};

const parseResponse = (line: Buffer) =>
  isModest(line) ? rpcResponse.safeParse(jsonOf(decodeLine(line) ?? "")).data : undefined;

const noAnswer = (method: GuestMethod, timeoutMs: number): AppError => {
  const sentence = `The guest agent did not answer "${method}" within ${timeoutMs / 1000} s.`;
  return new AppError("timeout", "channel-timeout", sentence, {
    hint: "Look at the machine's console: the guest may still be booting, be overloaded, or have stopped.",
  });
};

const refusal = (method: GuestMethod, error: { code: number; message: string }): AppError =>
  new AppError("conflict", "guest-refused", `The guest agent refused "${method}": ${oneLine(error.message)}`, {
    context: { method, rpcCode: error.code },
  });

/** Names places of our own schema only; keys and values of the answer are the guest's words. */
const wrongShape = (method: GuestMethod, issues: { code?: string | undefined; path: PropertyKey[] }[]): AppError => {
  const told = issues.slice(0, ISSUES_TOLD).map((issue) => `${issue.path.map(String).join(".")}: ${issue.code}`);
  const sentence = `The guest agent's answer to "${method}" does not have the agreed shape.`;
  return new AppError("internal", "channel-garbage", sentence, {
    hint: "The image may hold an agent of another version, or the guest has been taken over: destroy the session.",
    context: { issues: told },
  });
};
