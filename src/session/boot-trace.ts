/** A session's boot as one trace: a span for the whole, and one for each stage below it. */
import type { Span } from "../lib/tracing.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

const ROOT = "boot";

/** Spans of a boot that is over, passed or not. `endedAt` is when it was, ISO 8601. */
export const bootSpans = (session: Session, vm: Microvm | undefined, endedAt: string): Span[] => {
  const trace = session.id;
  const passed = session.stages.flatMap((record) =>
    record.endedAt === null ? [] : [{ ...record, endedAt: record.endedAt }],
  );
  const lastPassedAt = passed.at(-1)?.endedAt ?? session.createdAt;
  const { verdict } = session;
  return [
    {
      trace,
      name: ROOT,
      startedAt: session.createdAt,
      endedAt,
      attributes: {
        "session.id": session.id,
        "sallyport.provider": session.provider,
        ...(vm ? { "sallyport.vm": vm.id, "sallyport.backend": vm.backend, "sallyport.image": vm.imageDigest } : {}),
        ...(verdict ? { "sallyport.verdict": verdict.code } : {}),
      },
      ...(verdict ? { error: verdict.sentence } : {}),
    },
    ...passed.map(({ stage, source, startedAt, endedAt: stageEndedAt }) => ({
      trace,
      name: stage,
      parent: ROOT,
      startedAt,
      endedAt: stageEndedAt,
      attributes: { "sallyport.source": source },
    })),
    ...(verdict?.stage
      ? [
          {
            trace,
            name: verdict.stage,
            parent: ROOT,
            startedAt: lastPassedAt,
            endedAt: verdict.at,
            attributes: { "sallyport.verdict": verdict.code },
            error: verdict.sentence,
          },
        ]
      : []),
  ];
};
