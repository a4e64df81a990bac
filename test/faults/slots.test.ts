import { expect, test } from "vitest";
import { createSlots } from "./slots.ts";

test("no more work at once than there are places, in the order of asking, also after a failure", async () => {
  const slots = createSlots(2);
  const started: number[] = [];
  const gates = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
  const works = gates.map((gate, index) =>
    slots.use(async () => {
      started.push(index);
      await gate.promise;
    }),
  );
  expect(started).toEqual([0, 1]);
  gates[1]?.reject(new Error("broken"));
  await expect(works[1]).rejects.toThrow("broken");
  expect(started).toEqual([0, 1, 2]);
  gates[0]?.resolve();
  await works[0];
  gates[2]?.resolve();
  gates[3]?.resolve();
  await Promise.all([works[2], works[3]]);
  expect(started).toEqual([0, 1, 2, 3]);
});
