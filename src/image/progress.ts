/** `elapsedMs` counts from the beginning of the build. */
export type OnProgress = (progress: { stage: string; message: string; elapsedMs: number }) => void;

/** Longest stages print hundreds of lines a second; a person reads one every two seconds. */
const REPORT_INTERVAL_MS = 2000;

/** Runs the stages of a build, tells when each begins and ends, and keeps their times. */
export class Stages {
  readonly times: { name: string; ms: number }[] = [];
  readonly #startedAt = performance.now();
  readonly #onProgress: OnProgress;

  constructor(onProgress: OnProgress = () => {}) {
    this.#onProgress = onProgress;
  }

  /** `work` may report what it is at as often as it likes. */
  async run<T>(name: string, message: string, work: (report: (message: string) => void) => Promise<T>): Promise<T> {
    const begunAt = performance.now();
    let reportedAt = begunAt;
    this.#tell(name, message);
    const result = await work((text) => {
      if (performance.now() - reportedAt < REPORT_INTERVAL_MS) return;
      reportedAt = performance.now();
      this.#tell(name, text);
    });
    const ms = Math.round(performance.now() - begunAt);
    this.times.push({ name, ms });
    this.#tell(name, `done in ${(ms / 1000).toFixed(1)} s`);
    return result;
  }

  #tell(stage: string, message: string): void {
    this.#onProgress({ stage, message, elapsedMs: Math.round(performance.now() - this.#startedAt) });
  }
}
