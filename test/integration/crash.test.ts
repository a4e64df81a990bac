/** The controller dies at any line: the next one adopts what lives and removes the rest. */
import { expect, onTestFinished, test } from "vitest";
import { poll } from "../../src/lib/wait.ts";
import { after, expectNothingLeft } from "../fixtures/after-crash.ts";
import { createNamespace } from "../fixtures/namespace.ts";
import { KINDS_OF_A_FAKE, kindsOf } from "../fixtures/receipt.ts";

test.each(["prepare", "acquired", "spawned", "recorded", "joined"])(
  "killed at %s, before its machine ran: the session fails, and nothing is left",
  async (point) => {
    const { controller, sessionId } = await after(point);
    const judged = async () => (await controller.client.session(sessionId)).verdict ?? undefined;
    await poll(judged, { what: "the verdict", timeoutMs: 20_000, intervalMs: 50 });
    const { body } = await controller.client.destroy(sessionId);
    expect(body.gone.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["lease", "directory"]));
    expect((await controller.client.session(sessionId)).verdict).toMatchObject({ code: "interrupted" });
    await expectNothingLeft(controller);
  },
);

test("killed when its machine ran: it is adopted and becomes ready", async () => {
  const { controller, sessionId } = await after("started");
  let last = "";
  for await (const { state } of controller.client.events(sessionId)) {
    last = state;
    if (state === "ready") break;
  }
  expect(last).toBe("ready");
  await controller.client.destroy(sessionId);
  await expectNothingLeft(controller);
});

test("killed in the middle of a removal: the next one ends it", async () => {
  const { controller, sessionId } = await after("remove");
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  await expectNothingLeft(controller);
});

test("one that sees no control groups has them mounted for itself: its microVM's is found by the next", async () => {
  // `ip netns exec` gives its program another /sys, with nothing mounted below it.
  const elsewhere = await createNamespace("crash");
  onTestFinished(() => elsewhere.remove());
  const { controller, sessionId } = await after("started", { runner: ["ip", "netns", "exec", elsewhere.name] });
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  await expectNothingLeft(controller);
});
