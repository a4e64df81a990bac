import { expect, test } from "vitest";
import { Cleanup } from "./cleanup.ts";

const recorded = (): { cleanup: Cleanup; undone: string[]; push: (name: string, fails?: boolean) => void } => {
  const cleanup = new Cleanup();
  const undone: string[] = [];
  const push = (name: string, fails = false): void =>
    cleanup.push(name, async () => {
      undone.push(name);
      if (fails) throw new Error(`${name} is stuck`);
    });
  return { cleanup, undone, push };
};

test("what was acquired last is undone first, and once", async () => {
  const { cleanup, undone, push } = recorded();
  for (const name of ["folder", "tap", "process"]) push(name);
  await cleanup.run();
  await cleanup.run();
  expect(undone).toEqual(["process", "tap", "folder"]);
});

test("one that fails keeps no other from being undone, and every failure is told", async () => {
  const { cleanup, undone, push } = recorded();
  push("folder", true);
  push("tap");
  push("process", true);
  const error = await cleanup.run().catch((cause: unknown) => cause);
  expect(undone).toEqual(["process", "tap", "folder"]);
  expect(error).toBeInstanceOf(AggregateError);
  expect((error as AggregateError).message).toMatch(/process is stuck.*folder is stuck/);
});

test("what belongs to somebody else now is left alone", async () => {
  const { cleanup, undone, push } = recorded();
  push("process");
  cleanup.disarm();
  push("tap");
  await cleanup.run();
  expect(undone).toEqual(["tap"]);
});
