import { describe, expect, test } from "vitest";
import { createGathering, createKeyedMutex, createSharedMutex } from "./mutex.ts";

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

describe("a gathering", () => {
  const numbers = async (run: (things: number[]) => Promise<void>, patienceMs = 10_000) => {
    const runs: number[][] = [];
    const gather = createGathering(async (things: number[]) => {
      runs.push([...things]);
      await run(things);
      return things.length;
    }, patienceMs);
    return { runs, gather };
  };

  test("does together what comes while it works", async () => {
    const { runs, gather } = await numbers(() => turn());
    const first = gather(1);
    await turn();
    expect(await Promise.all([first, gather(2), gather(3)])).toEqual([1, 2, 2]);
    expect(runs).toEqual([[1], [2, 3]]);
  });

  test("waits for one that hangs for so long, and no longer", async () => {
    const { gather } = await numbers(([one]) => (one === 1 ? new Promise(() => {}) : Promise.resolve()), 10);
    void gather(1);
    await turn();
    expect(await gather(2)).toBe(1);
  });

  test("tries each by itself where they fail together, so that one fails no other", async () => {
    const { gather } = await numbers(async (things) => {
      if (things.includes(2)) throw new Error("no");
    });
    const all = await Promise.allSettled([1, 2, 3].map((one) => gather(one)));
    expect(all.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });
});
