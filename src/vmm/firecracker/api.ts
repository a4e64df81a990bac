/** Client of Firecracker's API: HTTP over its Unix socket, one request after the other, each answered before the next is sent. */
import { Client } from "undici";
import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
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
 * `vmm-silent` after `timeoutMs`; the system's error where nobody listens; the signal's reason.
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
    const said = refusal.safeParse(jsonOf(text)).data?.fault_message ?? `HTTP status ${statusCode}`;
    const sentence = `Firecracker refused ${method} ${path}: ${oneLine(redactText(said))}`;
    throw new AppError("internal", "vmm-refused", sentence);
  } catch (cause) {
    signal?.throwIfAborted();
    if (!late.aborted || cause instanceof AppError) throw cause;
    const sentence = `Firecracker gave no answer to ${method} ${path} within ${timeoutMs / 1000} s.`;
    throw new AppError("timeout", "vmm-silent", sentence, { cause });
  }
};
