import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { boundConsole } from "../vmm/console.ts";
import { noConsole } from "./console-facts.ts";
import { createConsoleReader } from "./console-reader.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-console-reader-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Says what the test wants; counts the pieces that were paid for. */
const newBudget = (waitMsAfter = 0) => {
  const budget = {
    pieces: 0,
    waitMs: 0,
    isHopeless: false,
    spentMs: 0,
    spend: <T>(work: () => T): T => {
      budget.pieces++;
      budget.waitMs = waitMsAfter;
      return work();
    },
  };
  return budget;
};
let budget: ReturnType<typeof newBudget>;
let file: string;
let files = 0;
beforeEach(() => {
  file = join(folder, `${files++}.log`);
  budget = newBudget();
});

const PANIC = "Kernel panic - not syncing: Fatal exception in interrupt\n";
const KERNEL = "[    0.000000] Linux version 6.12.117 (debian)\n";
const noise = (bytes: number): string => "noise\n".repeat(Math.ceil(bytes / 6));

describe("a look at a console", () => {
  test("reads what is new since the last one, and keeps what was found before", async () => {
    const reader = createConsoleReader(file, budget);
    expect(await reader.look()).toEqual(noConsole());
    appendFileSync(file, KERNEL + noise(200_000));
    expect(await reader.look()).toMatchObject({ kernelVersion: "6.12.117", panic: null, tail: Array(8).fill("noise") });
    expect(budget.pieces).toBe(4);
    await reader.look();
    expect(budget.pieces).toBe(4);
    appendFileSync(file, PANIC);
    expect(await reader.look()).toMatchObject({ kernelVersion: "6.12.117", panic: PANIC.trim() });
    expect(budget.pieces).toBe(5);
  });

  test("sees the last words of a guest that writes more than is read of one, and reads no more of it", async () => {
    const reader = createConsoleReader(file, budget);
    appendFileSync(file, KERNEL);
    await reader.look();
    appendFileSync(file, noise(900_000) + PANIC);
    expect((await reader.look()).panic).not.toBeNull();
    expect(budget.pieces).toBeLessThanOrEqual(5);
  });

  test("stops where the budget is spent, with the end seen, and reads nothing until there is some again", async () => {
    budget = newBudget(60_000);
    const reader = createConsoleReader(file, budget);
    appendFileSync(file, KERNEL + noise(900_000) + PANIC);
    expect(await reader.look()).toMatchObject({ kernelVersion: "6.12.117", panic: PANIC.trim() });
    expect(budget.pieces).toBe(2);
    appendFileSync(file, "reboot: Restarting system\n");
    expect((await reader.look()).shutdown).toBeNull();
    expect(budget.pieces).toBe(2);
    budget.waitMs = 0;
    expect((await reader.look()).shutdown).toBe("reboot: Restarting system");
  });

  test("goes over what was cut out of the middle", async () => {
    const reader = createConsoleReader(file, budget);
    appendFileSync(file, KERNEL);
    await reader.look();
    appendFileSync(file, noise(1_500_000) + PANIC);
    expect(await boundConsole(file)).toBeGreaterThan(0);
    expect(await reader.look()).toMatchObject({ kernelVersion: "6.12.117", panic: PANIC.trim() });
    appendFileSync(file, "reboot: Power down\n");
    expect((await reader.look()).shutdown).toBe("reboot: Power down");
  });
});
