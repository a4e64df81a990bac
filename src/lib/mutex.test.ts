import { describe, expect, test } from "vitest";
import { createKeyedMutex, createSharedMutex, createSharedRun } from "./mutex.ts";

/** Work that is ended by hand, and a list of what began and ended. */
const stage = () => {
  const events: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const work = (name: string) => () => {
    events.push(`${name} begins`);
    return new Promise<void>((resolve, reject) => {
      ends.set(name, (error) => {
        events.push(`${name} ends`);
        if (error) reject(error);
        else resolve();
      });
    });
  };
  const end = async (name: string, error?: Error): Promise<void> => {
    ends.get(name)?.(error);
    await turn();
  };
  return { events, work, end };
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a keyed mutex keeps the order of one key, whatever fails, and no key waits for another", async () => {
  const { events, work, end } = stage();
  const inOrder = createKeyedMutex();
  const first = inOrder("a", work("a1"));
  void inOrder("a", work("a2"));
  void inOrder("b", work("b1"));
  await turn();
  expect(events).toEqual(["a1 begins", "b1 begins"]);
  await Promise.all([expect(first).rejects.toThrow("no"), end("a1", new Error("no"))]);
  expect(events.slice(2)).toEqual(["a1 ends", "a2 begins"]);
});

describe("a shared mutex", () => {
  test("lets those that share run together, and keeps them apart from those that are alone", async () => {
    const { events, work, end } = stage();
    const { shared, alone } = createSharedMutex();
    void shared(work("one"));
    void shared(work("two"));
    void alone(work("all"));
    void shared(work("late"));
    await turn();
    expect(events).toEqual(["one begins", "two begins"]);
    await end("two");
    expect(events.slice(2)).toEqual(["two ends"]);
    await end("one");
    expect(events.slice(3)).toEqual(["one ends", "all begins"]);
    await end("all");
    expect(events.slice(5)).toEqual(["all ends", "late begins"]);
  });

  test("goes on after a failure of either kind", async () => {
    const { shared, alone } = createSharedMutex();
    await expect(shared(() => Promise.reject(new Error("one")))).rejects.toThrow("one");
    await expect(alone(() => Promise.reject(new Error("all")))).rejects.toThrow("all");
    await expect(shared(async () => "on")).resolves.toBe("on");
  });
});

test("a shared run is made for all who ask before it begins, and once more for those who ask while it runs", async () => {
  const { events, work, end } = stage();
  let runs = 0;
  const run = createSharedRun(() => work(`run ${++runs}`)());
  const asked = [run(), run()];
  await turn();
  asked.push(run(), run());
  await turn();
  expect(events).toEqual(["run 1 begins"]);
  await end("run 1");
  await end("run 2");
  await Promise.all(asked);
  expect(runs).toBe(2);
});
