/** OpenTelemetry spans to a collector: OTLP over HTTP with JSON, the whole of it that this program needs (docs/adr/0008-own-otlp.md). */
import { hash } from "node:crypto";
import { hostname } from "node:os";
import { fetch } from "undici";
import { z } from "zod";
import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { ownVersion } from "./version.ts";

/** One span; ids are made of names, so that sending it twice makes one span of it. */
export interface Span {
  /** What the trace is about: equal for all of its spans. */
  trace: string;
  /** Unique in the trace. */
  name: string;
  /** Name of the span it is part of; absent: the root. */
  parent?: string;
  /** ISO 8601. */
  startedAt: string;
  endedAt: string;
  attributes: Record<string, string>;
  /** What went wrong, in words. */
  error?: string;
}

const SEND_TIMEOUT_MS = 10_000;
const KIND_INTERNAL = 1;
const STATUS_ERROR = 2;

/** Without an endpoint, spans go nowhere. */
export const createTracer = (endpoint: string | undefined, logger: Logger) => {
  const sending = new Set<Promise<void>>();
  return {
    /** Sends spans of one trace in the background; what a collector does not take is logged and dropped. */
    export: (spans: Span[]): void => {
      if (endpoint === undefined) return;
      const sent = send(tracesUrl(endpoint), spans)
        .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "the collector did not take the spans"))
        .finally(() => sending.delete(sent));
      sending.add(sent);
    },
    /** Resolves when nothing is on its way any more. */
    flush: async () => void (await Promise.all(sending)),
  };
};

const partialSuccess = z.object({
  partialSuccess: z.object({ rejectedSpans: z.coerce.number().default(0), errorMessage: z.string().default("") }),
});

const send = async (url: URL, spans: Span[]): Promise<void> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(otlp(spans)),
    redirect: "error",
    signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  // A collector that takes everything may answer nothing, or an empty object.
  const refused = text.startsWith("{") ? partialSuccess.safeParse(JSON.parse(text)).data?.partialSuccess : undefined;
  if (refused?.rejectedSpans)
    throw new Error(`${refused.rejectedSpans} refused: ${refused.errorMessage.slice(0, 200)}`);
};

/** The specification's place below a base address, unless it is named already. */
const tracesUrl = (endpoint: string): URL => {
  const url = new URL(endpoint);
  if (!url.pathname.endsWith("/v1/traces")) url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  return url;
};

/** `ExportTraceServiceRequest` in the JSON encoding: ids as hex, times as decimal text. */
const otlp = (spans: Span[]) => ({
  resourceSpans: [
    {
      resource: {
        attributes: attributes({
          "service.name": "sallyport",
          "service.version": ownVersion(),
          "host.name": hostname(),
        }),
      },
      scopeSpans: [{ scope: { name: "sallyport", version: ownVersion() }, spans: spans.map(otlpSpan) }],
    },
  ],
});

const otlpSpan = ({ trace, name, parent, startedAt, endedAt, attributes: fields, error }: Span) => ({
  traceId: digest(trace, 16),
  spanId: digest(`${trace}/${name}`, 8),
  ...(parent === undefined ? {} : { parentSpanId: digest(`${trace}/${parent}`, 8) }),
  name,
  kind: KIND_INTERNAL,
  startTimeUnixNano: nanoseconds(startedAt),
  endTimeUnixNano: nanoseconds(endedAt),
  attributes: attributes(fields),
  ...(error === undefined ? {} : { status: { code: STATUS_ERROR, message: error } }),
});

const attributes = (fields: Record<string, string>) =>
  Object.entries(fields).map(([key, stringValue]) => ({ key, value: { stringValue } }));

const digest = (text: string, bytes: number): string => hash("sha256", text, "hex").slice(0, bytes * 2);

const nanoseconds = (iso: string): string => `${BigInt(Date.parse(iso)) * 1_000_000n}`;
