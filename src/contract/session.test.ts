import { expect, test } from "vitest";
import { awaitedStage, BOOT_STAGES } from "./session.ts";

const AT = "2026-01-01T00:00:00.000Z";
const passed = BOOT_STAGES.map((stage) => ({ stage, endedAt: AT }));

test("the first stage that was not passed is awaited, in whatever order they are told", () => {
  expect(awaitedStage([])).toBe("leased");
  expect(awaitedStage(passed.slice(0, 3))).toBe("agent");
  expect(awaitedStage(passed.slice(0, 3).toReversed())).toBe("agent");
  expect(awaitedStage(passed)).toBeNull();
});

test("a stage that began is still awaited", () => {
  expect(awaitedStage([...passed.slice(0, 3), { stage: "agent", endedAt: null }])).toBe("agent");
});
