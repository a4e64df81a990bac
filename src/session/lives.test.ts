import { expect, test, vi } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import type { Microvm } from "../microvm/store.ts";
import type { DriverDeps } from "./driver.ts";
import { createLives } from "./lives.ts";
import { newSession } from "./session.ts";

const deps = { config: { session: { ttlSec: {} } }, logger: silentLogger() } as unknown as DriverDeps;
const session = newSession({ provider: "oidc" }, { userId: "ada", startedBy: "key_1", ttlSec: 900 });
const vm = { id: "abc" } as Microvm;

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
