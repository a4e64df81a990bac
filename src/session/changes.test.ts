import { setImmediate as soon } from "node:timers/promises";
import { expect, test } from "vitest";
import { createChanges } from "./changes.ts";

test("there is something to see at once, after each change, and once after many that came meanwhile", async () => {
  const changes = createChanges();
  const watched = changes.watch("ses_1", new AbortController().signal);
  await watched.next();
  const next = watched.next();
  let isTold = false;
  void next.then(() => (isTold = true));
  changes.tell("ses_2");
  await soon();
  expect(isTold).toBe(false);
  changes.tell("ses_1");
  await next;

  for (let i = 0; i < 100; i++) changes.tell("ses_1");
  await watched.next();
  isTold = false;
  void watched.next().then(() => (isTold = true));
  await soon();
  expect(isTold).toBe(false);
  changes.tell("ses_1");
  await soon();
  expect(isTold).toBe(true);
});

test("ends on its signal, waiting or not", async () => {
  const changes = createChanges();
  const ending = new AbortController();
  const watched = changes.watch("ses_1", ending.signal);
  await watched.next();
  const next = watched.next();
  ending.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  expect(await changes.watch("ses_1", ending.signal).next()).toEqual({ done: true, value: undefined });
});
