import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createDeadline, msLeft } from "./deadline.ts";
import { newSession } from "./session.ts";

const TTL_SEC = 900;
const session = newSession({ provider: "oidc" }, { userId: "ada", startedBy: "key_1", ttlSec: TTL_SEC });
const expiresMs = Date.parse(session.expiresAt);

test.each([
  ["in the middle of its life", -60_000, 60_000],
  ["when its time is up", 0, 0],
  ["long after it, as when the machine slept", 86_400_000, 0],
  ["when the clock was set back by a day, its whole life at most", -86_400_000, TTL_SEC * 1000],
])("what is left of a session %s", (_, sinceEndMs, left) => {
  expect(msLeft(session, TTL_SEC, expiresMs + sinceEndMs)).toBe(left);
});

describe("a session ends by itself", () => {
  const end = vi.fn<(outcome: string) => void>();
  beforeEach(() => {
    end.mockClear();
    vi.useFakeTimers({ now: expiresMs - 60_000 });
  });
  afterEach(() => void vi.useRealTimers());

  test("when its time is up, whatever becomes of the clock meanwhile", () => {
    createDeadline(TTL_SEC, end).begin(session);
    vi.setSystemTime(0);
    vi.advanceTimersByTime(59_999);
    expect(end).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(end).toHaveBeenCalledExactlyOnceWith("expired");
  });

  test("a minute after its result was fetched, also when that was under a former controller", () => {
    vi.setSystemTime(expiresMs - 300_000);
    createDeadline(TTL_SEC, end).begin({ ...session, sealedTakenAt: session.createdAt });
    vi.advanceTimersByTime(60_000);
    expect(end).toHaveBeenCalledExactlyOnceWith("signed-in");
  });

  test("not after it was cleared", () => {
    const deadline = createDeadline(TTL_SEC, end);
    deadline.begin(session);
    deadline.taken();
    deadline.clear();
    vi.advanceTimersByTime(TTL_SEC * 2000);
    expect(end).not.toHaveBeenCalled();
  });
});
