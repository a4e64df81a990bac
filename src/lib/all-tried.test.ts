import { expect, test } from "vitest";
import { allTried } from "./all-tried.ts";
import { AppError } from "./errors.ts";

test("each step is tried in turn, also when one before it failed", async () => {
  const done: string[] = [];
  const step = (name: string, error?: Error) => async (): Promise<void> => {
    done.push(name);
    if (error) throw error;
  };
  const first = new AppError("timeout", "process-stays", "It did not end.", { hint: "Look." });
  await expect(allTried(step("a"), step("b", first), step("c"))).rejects.toBe(first);
  await expect(allTried(step("d", first), step("e", new Error("And this.")))).rejects.toMatchObject({
    code: "process-stays",
    message: "It did not end. And this.",
    hint: "Look.",
  });
  await allTried(step("f"));
  expect(done).toEqual(["a", "b", "c", "d", "e", "f"]);
});
