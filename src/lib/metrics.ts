/** The one file that knows prom-client (it is being renamed upstream). */
import { Gauge, Histogram, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

export const createMetrics = (ask: {
  /** State → number of sessions in it, live states only. */
  sessions: () => Promise<Record<string, number>>;
  /** Resources held for sessions that are over, and orphans: must be 0. NaN: nobody has looked yet. */
  leaks: () => number;
}) => {
  const registry = new Registry();
  new Gauge({
    name: "sallyport_sessions",
    help: "Live sessions by state",
    labelNames: ["state"],
    registers: [registry],
    async collect() {
      this.reset();
      for (const [state, count] of Object.entries(await ask.sessions())) this.set({ state }, count);
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
  const stageSeconds = new Histogram({
    name: "sallyport_boot_stage_seconds",
    help: "Time from one boot stage to the next",
    labelNames: ["stage"],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160],
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    observeStage: (stage: string, seconds: number): void => stageSeconds.observe({ stage }, seconds),
  };
};
