import { PassThrough } from "node:stream";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { AppError } from "../lib/errors.ts";
import { openDatabase } from "../state/db.ts";
import { newSession, type Session } from "./session.ts";
import { createSessionStore, type SessionStore } from "./store.ts";
import { createViewerSeats, hashPairingCode } from "./viewer.ts";

const session: Session = {
  ...newSession({ provider: "oidc" }, { userId: "ada", startedBy: "key_1", ttlSec: 900 }),
  id: "ses_1",
};
let isScreenOpen = true;

describe("viewer seats", () => {
  let store: SessionStore;
  beforeEach(async () => {
    isScreenOpen = true;
    store = createSessionStore(await openDatabase(":memory:"));
    await store.insert(session, hashPairingCode("ses_1", "ABCD-2345"));
  });

  test("the right code, however it is typed, gives a cookie that gives a ticket that works once", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    const cookie = await seats.pair("ses_1", " abcd2345 ");
    expect(hashPairingCode("ses_1", "m05k-1abc")).toBe(hashPairingCode("ses_1", "MO5K LABC"));
    const ticket = seats.newTicket("ses_1", cookie);
    seats.sitDown("ses_1", ticket, () => new PassThrough());
    expect(seats.hasViewer("ses_1")).toBe(true);
    expect(() => seats.sitDown("ses_1", ticket, () => new PassThrough())).toThrow(
      expect.objectContaining({ code: "bad-ticket" }),
    );
  });

  test("four wrong codes are 403, the fifth locks, and then even the right one is 429", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    for (let i = 0; i < 4; i++) {
      await expect(seats.pair("ses_1", "XXXX-XXXX")).rejects.toMatchObject({ status: 403, code: "wrong-pairing-code" });
    }
    await expect(seats.pair("ses_1", "XXXX-XXXX")).rejects.toMatchObject({ status: 429, code: "pairing-locked" });
    await expect(seats.pair("ses_1", "ABCD-2345")).rejects.toMatchObject({ status: 429, code: "pairing-locked" });
  });

  test("tries that come all at once are five all the same", async () => {
    const onWrong = vi.fn<(sessionId: string) => void>();
    const seats = createViewerSeats(store, () => isScreenOpen, onWrong);
    const tries = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => seats.pair("ses_1", `XXXX-${1000 + i}`)),
    );
    const codes = tries.map((one) => (one.status === "rejected" ? (one.reason as AppError).code : "passed"));
    expect(codes.filter((code) => code === "wrong-pairing-code")).toHaveLength(4);
    expect(codes.filter((code) => code === "pairing-locked")).toHaveLength(36);
    expect(await store.pairingFailures("ses_1")).toBe(5);
    // Nor is a locked session's code news.
    expect(onWrong).toHaveBeenCalledTimes(5);
  });

  test("a right code takes none of the five tries", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    for (let i = 0; i < 7; i++) await seats.pair("ses_1", "ABCD-2345");
    expect(await store.pairingFailures("ses_1")).toBe(0);
  });

  test("a ticket is good for 30 seconds, and eight may wait", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      const seats = createViewerSeats(store, () => isScreenOpen);
      const cookie = await seats.pair("ses_1", "ABCD-2345");
      const [late = "", inTime = ""] = Array.from({ length: 8 }, () => seats.newTicket("ses_1", cookie));
      expect(() => seats.newTicket("ses_1", cookie)).toThrow(expect.objectContaining({ code: "too-many-tickets" }));
      vi.advanceTimersByTime(30_000);
      seats.sitDown("ses_1", inTime, () => new PassThrough());
      vi.advanceTimersByTime(1);
      expect(() => seats.sitDown("ses_1", late, () => new PassThrough())).toThrow(
        expect.objectContaining({ code: "bad-ticket" }),
      );
      seats.newTicket("ses_1", cookie);
    } finally {
      vi.useRealTimers();
    }
  });

  test("when a session ends, its screen is closed and not opened again; who is paired is still answered", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    const cookie = await seats.pair("ses_1", "ABCD-2345");
    const [first, second] = [seats.newTicket("ses_1", cookie), seats.newTicket("ses_1", cookie)];
    const screen = seats.sitDown("ses_1", first, () => new PassThrough().on("error", () => {}));
    isScreenOpen = false;
    seats.disconnect("ses_1");
    expect(screen.destroyed).toBe(true);
    expect(() => seats.sitDown("ses_1", second, () => new PassThrough())).toThrow(
      expect.objectContaining({ code: "session-ending" }),
    );
    expect(() => seats.newTicket("ses_1", cookie)).toThrow(expect.objectContaining({ code: "session-ending" }));
    seats.requirePaired("ses_1", cookie);
  });

  test("a second viewer is refused while the first is connected, and welcome after", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    const first = await seats.pair("ses_1", "ABCD-2345");
    const screen = seats.sitDown("ses_1", seats.newTicket("ses_1", first), () => new PassThrough());
    await expect(seats.pair("ses_1", "ABCD-2345")).rejects.toMatchObject({ status: 409, code: "viewer-present" });
    screen.destroy();
    await seats.pair("ses_1", "ABCD-2345");
    expect(() => seats.newTicket("ses_1", first)).toThrow(expect.objectContaining({ code: "not-paired" }));
  });

  test("a reload of the same browser replaces its own connection", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    const cookie = await seats.pair("ses_1", "ABCD-2345");
    const screen = () => new PassThrough().on("error", () => {});
    const first = seats.sitDown("ses_1", seats.newTicket("ses_1", cookie), screen);
    seats.sitDown("ses_1", seats.newTicket("ses_1", cookie), () => new PassThrough());
    expect(first.errored).toMatchObject({ code: "screen-taken" });
    expect(seats.hasViewer("ses_1")).toBe(true);
  });

  test("another session's cookie or ticket opens nothing", async () => {
    const seats = createViewerSeats(store, () => isScreenOpen);
    await store.insert({ ...session, id: "ses_2" }, hashPairingCode("ses_2", "ABCD-2345"));
    const cookie = await seats.pair("ses_1", "ABCD-2345");
    await seats.pair("ses_2", "ABCD-2345");
    expect(() => seats.newTicket("ses_2", cookie)).toThrow(expect.objectContaining({ code: "not-paired" }));
    const ticket = seats.newTicket("ses_1", cookie);
    expect(() => seats.sitDown("ses_2", ticket, () => new PassThrough())).toThrow(
      expect.objectContaining({ code: "bad-ticket" }),
    );
  });
});
