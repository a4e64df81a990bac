import { expect, test } from "vitest";
import { msUntil, orAborted, orAfter, poll } from "./wait.ts";

const never = new Promise<never>(() => {});

test("poll asks until there is an answer, and says what it waited for in vain", async () => {
  const answers = [undefined, undefined, "there"];
  expect(await poll(async () => answers.shift(), { what: "x", timeoutMs: 10_000, intervalMs: 1 })).toBe("there");
  await expect(poll(async () => undefined, { what: "the answer", timeoutMs: 10, intervalMs: 1 })).rejects.toMatchObject(
    {
      code: "deadline",
      message: expect.stringContaining("the answer"),
    },
  );
});

test.each([
  ["between two attempts", async () => undefined],
  ["in the middle of an attempt that gets no answer", () => never],
])("poll ends with its signal's reason %s", async (_, ask) => {
  const stop = new AbortController();
  const reason = new Error("enough");
  const waiting = poll(ask, { what: "x", timeoutMs: 60_000, intervalMs: 60_000, signal: stop.signal });
  setImmediate(() => stop.abort(reason));
  await expect(waiting).rejects.toBe(reason);
});

test("orAborted begins nothing once its signal is aborted, and does not wait for what it began", async () => {
  const stop = new AbortController();
  const reason = new Error("enough");
  expect(await orAborted(async () => "work", stop.signal)).toBe("work");
  await expect(orAborted(() => Promise.reject(new Error("broke")), stop.signal)).rejects.toThrow("broke");
  setImmediate(() => stop.abort(reason));
  await expect(orAborted(() => never, stop.signal)).rejects.toBe(reason);
  await expect(orAborted(() => expect.unreachable("begun"), stop.signal)).rejects.toBe(reason);
});

test("orAfter gives what came first, a failure as well", async () => {
  expect(await orAfter(Promise.resolve("work"), 60_000, () => "late")).toBe("work");
  expect(await orAfter(never, 1, () => "late")).toBe("late");
  await expect(orAfter(Promise.reject(new Error("broke")), 60_000, () => "late")).rejects.toThrow("broke");
  await expect(
    orAfter(never, 1, () => {
      throw new Error("too late");
    }),
  ).rejects.toThrow("too late");
});

test("msUntil is never 0, which means for ever to some", () => {
  expect(msUntil(performance.now() - 1000)).toBe(1);
  expect(msUntil(performance.now() + 60_000)).toBeGreaterThan(50_000);
});
