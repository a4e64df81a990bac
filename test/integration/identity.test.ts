/** A guest whose agent does not become who it shall be: a failed boot like any other, with a stage, a verdict and a place in the timeline. */
import { expect, test } from "vitest";
import type { SessionView } from "../../src/contract/api.ts";
import { timelineOf } from "../../src/cli/timeline.ts";
import { startController } from "../fixtures/controller.ts";

test.each([
  ["refused", "identity-refused", /refused "configure": the clock cannot be set/],
  ["ignored", "identity-not-taken", /did not answer "configure" within 2 s/],
] as const)("an identity that is %s is the verdict %s of the stage agent", async (identity, code, reason) => {
  const controller = await startController({
    behaviour: () => ({ identity }),
    config: { session: { deadlinesSec: { agent: 2 } } },
  });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  let view: SessionView | undefined;
  for await (const next of controller.client.events(sessionId)) view = next;
  expect(view).toMatchObject({ state: "failed", outcome: "failed", verdict: { code, stage: "agent" } });
  expect(view?.verdict?.evidence.join("\n")).toMatch(reason);
  expect(view?.stages.map(({ stage }) => stage)).toEqual(["leased", "vmm-up", "kernel"]);
  expect(view && timelineOf(view, Date.now()).at(-1)).toMatchObject({ stage: "agent", outcome: "missed" });
  await controller.dispose();
});
