/** JSON-RPC over lines: requests by the schemas of the contract in, exactly one answer for each out. */
import { guestMethods, MAX_LINE_BYTES, rpcRequest } from "../contract/guest.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";
import { AppError, messageOf } from "../lib/errors.ts";

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
    const request = parseRequest(line);
    if (!request) return log("channel: a line that is no request was dropped");
    running++;
    try {
      if (running > MAX_RUNNING) throw new RpcError(REFUSED, "Too many requests at once.");
      reply(request.id, { result: await dispatch(handlers, request.method, request.params) });
    } catch (error) {
      reply(request.id, { error: rpcErrorOf(error) });
    } finally {
      running--;
    }
  };

  const reply = (id: number, outcome: { result: unknown } | { error: { code: number; message: string } }): void => {
    const line = JSON.stringify({ jsonrpc: "2.0", id, ...outcome });
    if (Buffer.byteLength(line) <= MAX_LINE_BYTES) send(line);
    else reply(id, { error: { code: INTERNAL_ERROR, message: "The answer is longer than one line may be." } });
  };

  return { handleLine };
};

class RpcError extends Error {
  override name = "RpcError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const parseRequest = (line: string) => {
  try {
    return rpcRequest.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
};

const dispatch = async (handlers: Handlers, method: string, params: unknown): Promise<unknown> => {
  if (!isGuestMethod(method)) throw new RpcError(METHOD_NOT_FOUND, "There is no such method.");
  const parsed = guestMethods[method].params.safeParse(params);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: "unknown" };
    throw new RpcError(INVALID_PARAMS, `${path.map(String).join(".") || "params"}: ${message}`.slice(0, 500));
  }
  // The table pairs each method's schema with its handler; the compiler cannot follow that through a union of methods.
  return (handlers[method] as (params: unknown) => Promise<unknown>)(parsed.data);
};

const isGuestMethod = (method: string): method is GuestMethod => Object.hasOwn(guestMethods, method);

const rpcErrorOf = (error: unknown): { code: number; message: string } => {
  const code = error instanceof RpcError ? error.code : error instanceof AppError ? REFUSED : INTERNAL_ERROR;
  const hint = error instanceof AppError && error.hint ? ` ${error.hint}` : "";
  return { code, message: `${messageOf(error)}${hint}`.slice(0, 2000) };
};
