/** Client of Firecracker's API: HTTP over its Unix socket, one request after the other, each answered before the next is sent. */
import { buildConnector, Client, errors } from "undici";
import { z } from "zod";
import { AppError, errnoOf, messageOf } from "../../lib/errors.ts";
import { jsonOf } from "../../lib/json.ts";
import { withShortPath } from "../../lib/open-stream.ts";
import { oneLine } from "../../lib/terminal.ts";
import { MOST_BYTES, refused, saysTooMuch, silent, TAKEN_OVER } from "../conversation.ts";
import { faultsOf, type ApiRequest } from "./api-facts.ts";

const refusal = z.object({ fault_message: z.string() });

export interface ApiOptions {
  socket: string;
  /** Of the VMM: a request that it would not know is not sent. */
  version: string;
  /** For all that is asked together. */
  timeoutMs: number;
  /** Ends what is waited for. */
  signal?: AbortSignal;
}

/**
 * Sends one request and answers its JSON, undefined where there is none. Throws AppError `vmm-refused` with the VMM's own words,
 * `vmm-silent` when the time is over, `vmm-floods` when its answers have no end, `vmm-hung-up` where nobody listens or listens any
 * more, `vmm-garbled`; the signal's reason.
 */
export type Send = (request: ApiRequest) => Promise<unknown>;

/** Throws ENOENT while there is no folder for the socket yet. */
export const withApi = <T>(
  { socket, version, timeoutMs, signal }: ApiOptions,
  use: (send: Send) => Promise<T>,
): Promise<T> =>
  withShortPath(socket, async (path) => {
    const client = new Client("http://localhost", { connect: connectorTo(path), pipelining: 1 });
    const sending = { version, timeoutMs, late: AbortSignal.timeout(timeoutMs), signal };
    // A client of one connection, which sends nothing while an answer is to come.
    const send: Send = (request) => sendOne(client, request, sending);
    try {
      return await use(send);
    } finally {
      await client.destroy();
    }
  });

interface Sending {
  version: string;
  timeoutMs: number;
  late: AbortSignal;
  signal: AbortSignal | undefined;
}

/** Counts what comes over the socket: headers without end, and lengths of pieces, are part of no body. */
const connectorTo = (socketPath: string): buildConnector.connector => {
  const connect = buildConnector({ socketPath });
  return (options, callback) =>
    connect(options, (...answer) => {
      const [, socket] = answer;
      // Before the client's own listener, which reads.
      socket?.on("readable", () => {
        if (socket.bytesRead > MOST_BYTES) socket.destroy(saysTooMuch("Firecracker"));
      });
      callback(...answer);
    });
};

const sendOne = async (client: Client, request: ApiRequest, { version, timeoutMs, late, signal }: Sending) => {
  const { method, path, body } = request;
  const faults = faultsOf(request, version);
  if (faults.length > 0) throw new Error(`not sent to Firecracker ${version}: ${faults.join("; ")}`);
  signal?.throwIfAborted();
  try {
    const { statusCode, body: answer } = await client.request({
      method,
      path,
      signal: signal ? AbortSignal.any([signal, late]) : late,
      headers: { accept: "application/json", ...(body ? { "content-type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (statusCode === 200) return jsonOf(text);
    if (statusCode === 204) return undefined;
    const said = refusal.safeParse(jsonOf(text)).data?.fault_message ?? "";
    throw refused("Firecracker", `${method} ${path}`, said, `HTTP status ${statusCode}`);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof AppError) throw cause;
    if (late.aborted) throw silent("Firecracker", `${method} ${path}`, timeoutMs, cause);
    if (isOfItsWords(cause)) throw garbled(request, messageOf(cause), cause);
    if (errnoOf(cause) === undefined) throw cause;
    throw new AppError("unavailable", "vmm-hung-up", `Firecracker hung up before it answered ${method} ${path}.`, {
      hint: "It has ended, or is about to: its own words are in vmm.log (sallyport evidence SESSION).",
      cause,
    });
  }
};

/** By undici's names; what else has a code is of the connection. */
const isOfItsWords = (cause: unknown): boolean =>
  cause instanceof errors.HTTPParserError || /^UND_ERR_(?!SOCKET)/.test(errnoOf(cause) ?? "");

/** For an answer that is none of its API's; `what` is the matter with it. */
export const garbled = ({ method, path }: ApiRequest, what: string, cause?: unknown): AppError => {
  const sentence = `Firecracker answered ${method} ${path} with what is no answer of its API: ${oneLine(what)}`;
  return new AppError("internal", "vmm-garbled", sentence, { hint: TAKEN_OVER, cause });
};
