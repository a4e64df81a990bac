/** JSON-RPC over lines: requests by the schemas of the contract in, exactly one answer for each out. */
import { guestMethods, MAX_LINE_BYTES, rpcRequest } from "../contract/guest.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { jsonOf } from "../lib/json.ts";

export type Handlers = { [M in GuestMethod]: (params: GuestParams<M>) => Promise<GuestResult<M>> };

export interface RpcServerOptions {
  handlers: Handlers;
  send: (line: string) => void;
  log: (message: string) => void;
}

export type RpcServer = ReturnType<typeof createRpcServer>;

/** More at once than a host ever has reason for. */
const MAX_RUNNING = 32;

/** Codes of JSON-RPC 2.0 §5.1, and one of the range it leaves to the application. */
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;
const INTERNAL_ERROR = -32603;
const REFUSED = -32000;

export const createRpcServer = ({ handlers, send, log }: RpcServerOptions) => {
  let running = 0;

  /** Never rejects: whatever the line is, it ends in an answer or, when there is no id to answer to, in a log line. */
  const handleLine = async (line: string): Promise<void> => {
    const request = rpcRequest.safeParse(jsonOf(line)).data;
    if (!request) return log("channel: a line that is no request was dropped");
    running++;
    try {
      if (running > MAX_RUNNING) reply(request.id, refusal(REFUSED, "Too many requests at once."));
      else reply(request.id, await dispatch(handlers, request.method, request.params));
    } catch (error) {
      reply(request.id, failure(error));
    } finally {
      running--;
    }
  };

  const reply = (id: number, outcome: Outcome): void => {
    const line = JSON.stringify({ jsonrpc: "2.0", id, ...outcome });
    if (Buffer.byteLength(line) <= MAX_LINE_BYTES) send(line);
    else reply(id, refusal(INTERNAL_ERROR, "The answer is longer than one line may be."));
  };

  return { handleLine };
};

type Outcome = { result: unknown } | { error: { code: number; message: string } };

const refusal = (code: number, message: string): Outcome => ({ error: { code, message } });

const dispatch = async (handlers: Handlers, method: string, params: unknown): Promise<Outcome> => {
  if (!isGuestMethod(method)) return refusal(METHOD_NOT_FOUND, "There is no such method.");
  const parsed = guestMethods[method].params.safeParse(params);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: "unknown" };
    return refusal(INVALID_PARAMS, `${path.map(String).join(".") || "params"}: ${message}`.slice(0, 500));
  }
  // The table pairs each method's schema with its handler; the compiler cannot follow that through a union of methods.
  return { result: await (handlers[method] as (params: unknown) => Promise<unknown>)(parsed.data) };
};

const isGuestMethod = (method: string): method is GuestMethod => Object.hasOwn(guestMethods, method);

const failure = (error: unknown): Outcome => {
  const hint = error instanceof AppError && error.hint ? ` ${error.hint}` : "";
  return refusal(error instanceof AppError ? REFUSED : INTERNAL_ERROR, `${messageOf(error)}${hint}`.slice(0, 2000));
};
