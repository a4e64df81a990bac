/** A session's boot as one trace: a span for the whole, and one for each stage below it. */
import type { Span } from "../lib/tracing.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

const ROOT = "boot";

/** Spans of a boot that is over, passed or not. `endedAt` is when it was, ISO 8601. */
export const bootSpans = (session: Session, vm: Microvm | undefined, endedAt: string): Span[] => {
  const { verdict } = session;
  const failure = verdict ? { "sallyport.verdict": verdict.code } : {};
  const error = verdict ? { error: verdict.sentence } : {};
  const below = (name: string, from: string, to: string) => ({
    trace: session.id,
    name,
    parent: ROOT,
    startedAt: from,
    endedAt: to,
  });
  const passed = session.stages.flatMap((record) =>
    record.endedAt === null ? [] : [{ ...record, endedAt: record.endedAt }],
  );
  const lastPassedAt = passed.at(-1)?.endedAt ?? session.createdAt;
  return [
    {
      trace: session.id,
      name: ROOT,
      startedAt: session.createdAt,
      endedAt,
      attributes: {
        "session.id": session.id,
        "sallyport.provider": session.provider,
        ...(vm ? { "sallyport.vm": vm.id, "sallyport.backend": vm.backend, "sallyport.image": vm.imageDigest } : {}),
        ...(vm?.accel ? { "sallyport.accel": vm.accel } : {}),
        ...failure,
      },
      ...error,
    },
    ...passed.map((record) => ({
      ...below(record.stage, record.startedAt, record.endedAt),
      attributes: {
        "sallyport.source": record.source,
        ...(record.note === undefined ? {} : { "sallyport.note": record.note }),
      },
    })),
    ...(verdict?.stage ? [{ ...below(verdict.stage, lastPassedAt, verdict.at), attributes: failure, ...error }] : []),
  ];
};
