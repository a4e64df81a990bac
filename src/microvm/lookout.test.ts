import { expect, test } from "vitest";
import { healthyFacts } from "../../test/fixtures/facts.ts";
import { FAULTY_FACTS } from "../../test/fixtures/faulty-facts.ts";
import type { Facts } from "../contract/diagnosis.ts";
import { diagnose } from "../diagnosis/verdict.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import { silentLogger } from "../lib/logger.ts";
import { createLookout } from "./lookout.ts";

const seen = (facts: Facts): Examination => ({ facts, diagnosis: diagnose(facts) });
const TAP_DOWN = seen(FAULTY_FACTS["tap-down"]);

const setUp = () => {
  const looks: PromiseWithResolvers<Examination>[] = [];
  const warnings: (string | null)[] = [];
  const lookout = createLookout({
    look: () => {
      const asked = Promise.withResolvers<Examination>();
      looks.push(asked);
      return asked.promise;
    },
    onWarning: (warning) => warnings.push(warning?.code ?? null),
    logger: silentLogger(),
  });
  /** Lets what waits for an answer go on. */
  const answer = async (index: number, examination: Examination): Promise<void> => {
    looks[index]?.resolve(examination);
    await new Promise(setImmediate);
  };
  return { lookout, looks, warnings, answer };
};

test("what is slow is looked at once, however often that is said, and its cause is told", async () => {
  const { lookout, looks, warnings, answer } = setUp();
  lookout.slow(Infinity);
  lookout.slow(Infinity);
  await answer(0, TAP_DOWN);
  lookout.slow(Infinity);
  expect(looks.length).toBe(1);
  expect(warnings).toEqual(["tap-down"]);
});

test("a warning is taken back when all is fine again, and the next slowness is looked at afresh", async () => {
  const { lookout, looks, warnings, answer } = setUp();
  lookout.slow(Infinity);
  await answer(0, TAP_DOWN);
  lookout.fine();
  lookout.fine();
  lookout.slow(Infinity);
  await answer(1, seen(FAULTY_FACTS["bridge-down"]));
  expect(looks.length).toBe(2);
  expect(warnings).toEqual(["tap-down", null, "bridge-down"]);
});

test("what a look saw that was over meanwhile is not told; the next begins when it has ended, and at once", async () => {
  const { lookout, looks, warnings, answer } = setUp();
  lookout.slow(Infinity);
  lookout.fine();
  lookout.slow(Infinity);
  expect(looks.length, "a guest that flaps must not cost two looks at a time").toBe(1);
  await answer(0, TAP_DOWN);
  expect(warnings).toEqual([]);
  lookout.slow(Infinity);
  expect(looks.length).toBe(2);
  await answer(1, seen(FAULTY_FACTS["bridge-down"]));
  expect(warnings).toEqual(["bridge-down"]);
});

test.each([
  ["nothing wrong", healthyFacts()],
  ["a boot that goes on", healthyFacts({ stage: "browser", guest: null })],
  ["an unknown cause", healthyFacts({ host: { ...healthyFacts().host, reach: { health: "no answer", rfb: "ok" } } })],
  ["what keeps no guest from going on", FAULTY_FACTS["unit-output-not-on-console"]],
])("%s is no warning", async (_what, facts) => {
  const { lookout, warnings, answer } = setUp();
  lookout.slow(Infinity);
  await answer(0, seen(facts));
  expect(warnings).toEqual([]);
});

test("a look that fails is no warning, and keeps nobody from looking again", async () => {
  const { lookout, looks, warnings, answer } = setUp();
  lookout.slow(Infinity);
  looks[0]?.reject(new Error("no such table"));
  await new Promise(setImmediate);
  lookout.fine();
  lookout.slow(Infinity);
  await answer(1, TAP_DOWN);
  expect(warnings).toEqual(["tap-down"]);
});

test("just before a deadline nobody looks: the verdict's own look is near", () => {
  const { lookout, looks } = setUp();
  lookout.slow(performance.now() + 7000);
  expect(looks.length).toBe(0);
  lookout.slow(performance.now() + 20_000);
  expect(looks.length).toBe(1);
});
