/** Client of Firecracker's API: HTTP over its Unix socket, one request after the other, each answered before the next is sent. */
import { Client, errors } from "undici";
import { z } from "zod";
import { AppError, errnoOf, messageOf } from "../../lib/errors.ts";
import { jsonOf } from "../../lib/json.ts";
import { redactText } from "../../lib/redact.ts";
import { oneLine } from "../../lib/terminal.ts";
import { faultsOf, type ApiRequest } from "./api-facts.ts";
import { withShortPath } from "../../lib/open-stream.ts";

/** Its longest answer here is 200 bytes, a refusal 500. What is longer comes of a VMM that was taken over. */
const MAX_ANSWER_BYTES = 64 * 1024;

const refusal = z.object({ fault_message: z.string() });

export interface ApiOptions {
  socket: string;
  /** Of the VMM: a request that it would not know is not sent. */
  version: string;
  /** Ends what is waited for. */
  signal?: AbortSignal;
}

/**
 * Sends one request and answers its JSON, undefined where there is none. Throws AppError `vmm-refused` with the VMM's own words,
 * `vmm-silent` after `timeoutMs`, `vmm-hung-up` where nobody listens or listens any more, `vmm-garbled`; the signal's reason.
 */
export type Send = (request: ApiRequest, timeoutMs: number) => Promise<unknown>;

/** Throws ENOENT while there is no folder for the socket yet. */
export const withApi = <T>({ socket, version, signal }: ApiOptions, use: (send: Send) => Promise<T>): Promise<T> =>
  withShortPath(socket, async (socketPath) => {
    const client = new Client("http://localhost", { socketPath, pipelining: 1, maxResponseSize: MAX_ANSWER_BYTES });
    // A client of one connection, which sends nothing while an answer is to come.
    const send: Send = (request, timeoutMs) => sendOne(client, request, { version, timeoutMs, signal });
    try {
      return await use(send);
    } finally {
      await client.destroy();
    }
  });

interface Sending {
  version: string;
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

const sendOne = async (client: Client, request: ApiRequest, { version, timeoutMs, signal }: Sending) => {
  const { method, path, body } = request;
  const faults = faultsOf(request, version);
  if (faults.length > 0) throw new Error(`not sent to Firecracker ${version}: ${faults.join("; ")}`);
  signal?.throwIfAborted();
  const late = AbortSignal.timeout(timeoutMs);
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
    const said = oneLine(redactText(refusal.safeParse(jsonOf(text)).data?.fault_message ?? ""));
    const sentence = `Firecracker refused ${method} ${path}: ${said || `HTTP status ${statusCode}`}`;
    throw new AppError("internal", "vmm-refused", sentence);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof AppError) throw cause;
    if (late.aborted) {
      const sentence = `Firecracker gave no answer to ${method} ${path} within ${timeoutMs / 1000} s.`;
      throw new AppError("timeout", "vmm-silent", sentence, { cause });
    }
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
  return new AppError("internal", "vmm-garbled", sentence, {
    hint: "Somebody may have broken out of the guest, or the program is another: keep the evidence, look with sallyport doctor, and start a new sign-in.",
    cause,
  });
};
