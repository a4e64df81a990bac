/**
 * Undo stack: whoever acquires pushes the undo at once. `run` executes all of them in reverse, each even when another
 * failed, and throws one AggregateError naming every failure. Undo functions must be idempotent.
 */
export class Cleanup {
  #steps: { name: string; undo: () => Promise<void> | void }[] = [];

  push(name: string, undo: () => Promise<void> | void): void {
    this.#steps.push({ name, undo });
  }

  /** Forgets every step: what was acquired now belongs to somebody else. */
  disarm(): void {
    this.#steps = [];
  }

  async run(): Promise<void> {
    const failures: Error[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        failures.push(new Error(`undoing ${step.name} failed`, { cause }));
      }
    }
    if (failures.length > 0) {
      throw new AggregateError(failures, failures.map((f) => `${f.message}: ${String(f.cause)}`).join("; "));
    }
  }
}
