/** The one file that knows prom-client (it is being renamed upstream). */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

export const createMetrics = (ask: {
  /** How many sessions, of which something is left, are in which state; a state may come more than once. */
  sessions: () => Promise<{ state: string; count: number }[]>;
  /** Resources held for sessions that are over, and orphans: must be 0. NaN: nobody has looked yet. */
  leaks: () => number;
}) => {
  const registry = new Registry();
  new Gauge({
    name: "sallyport_sessions",
    help: "Sessions by state, until nothing is left of them",
    labelNames: ["state"],
    registers: [registry],
    async collect() {
      this.reset();
      for (const { state, count } of await ask.sessions()) this.inc({ state }, count);
    },
  });
  new Gauge({
    name: "sallyport_leaked_resources",
    help: "Processes, TAPs, leases and directories that belong to no live session; anything but 0 is a defect",
    registers: [registry],
    collect() {
      this.set(ask.leaks());
    },
  });
  const fallbacks = new Counter({
    name: "sallyport_warm_fallbacks_total",
    help: "Microvms that booted because a clone of the warm snapshot failed",
    registers: [registry],
  });
  const stageSeconds = new Histogram({
    name: "sallyport_boot_stage_seconds",
    help: "Time from one stage to the next",
    labelNames: ["stage"],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160],
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    countFallback: (): void => fallbacks.inc(),
    observeStage: (stage: string, seconds: number): void => stageSeconds.observe({ stage }, seconds),
  };
};
