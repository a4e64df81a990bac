import { expect, test, vi } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import type { Microvm } from "../microvm/store.ts";
import type { DriverDeps } from "./driver.ts";
import { createLives } from "./lives.ts";
import { newSession } from "./session.ts";

const session = newSession({ provider: "oidc" }, { userId: "ada", startedBy: "key_1", ttlSec: 900 });
const vm = { id: "abc", backend: "fake" } as Microvm;
const deps = {
  store: { get: async () => session },
  vms: { ofSession: async () => vm },
  ledger: { of: async () => [] },
  vmms: { all: [{ name: "fake" }], of: () => ({ reopen: () => ({}) }) },
  paths: { vm: () => ({}) },
  config: { session: { ttlSec: {} } },
  logger: silentLogger(),
} as unknown as DriverDeps;

test("a session that is being admitted does not look like one that was left without a driver", async () => {
  const lives = createLives(deps);
  const admitted = Promise.withResolvers<Microvm>();
  const beginning = lives.begin(session, {} as never, () => admitted.promise);
  expect(await lives.find(session.id)).toBeUndefined();
  admitted.reject(new Error("no address is left"));
  await expect(beginning).rejects.toThrow("no address is left");
  expect(lives.isDriven(session.id)).toBe(false);
});

test("a session that was admitted while the controller was stopping gets no driver: the next controller ends it", async () => {
  const lives = createLives(deps);
  const admitted = Promise.withResolvers<Microvm>();
  const beginning = lives.begin(session, {} as never, () => admitted.promise);
  await lives.stop();
  expect(lives.isDriven(session.id)).toBe(true);
  admitted.resolve(vm);
  await expect(beginning).rejects.toMatchObject({ code: "stopping", retryAfterSec: 10 });
  expect(lives.driverOf(session.id)).toBeUndefined();
  expect(lives.isDriven(session.id)).toBe(false);
});

test("none is admitted once it stops", async () => {
  const lives = createLives(deps);
  await lives.stop();
  const admit = vi.fn<() => Promise<Microvm>>(async () => vm);
  await expect(lives.begin(session, {} as never, admit)).rejects.toMatchObject({ code: "stopping" });
  expect(admit).not.toHaveBeenCalled();
});
