import { describe, expect, test, vi } from "vitest";
import type { GuestChannel } from "../channel/channel.ts";
import type { GuestMethod } from "../contract/guest.ts";
import type { CheckedUrl } from "../handover/url-check.ts";
import { createLogger } from "../lib/logger.ts";
import { createHandover } from "./handover.ts";
import { newSession, type Session } from "./session.ts";
import type { SessionChange } from "./store.ts";

const url = { url: "https://login.test/", host: "login.test", callback: { port: 4321, path: "/" } } as CheckedUrl;
const box = { enc: "ZW5j", ciphertext: "Ym94" };

/** A session that is ready, and its guest: what it was asked, and what it says to `collect`. */
const stand = (state: Partial<Session> = {}) => {
  const asked: GuestMethod[] = [];
  const collects: (() => Promise<{ caught: typeof box | null }>)[] = [];
  const stop = new AbortController();
  let session: Session = {
    ...newSession({ provider: "oidc", recipientKey: "key" }, { userId: "ada", startedBy: "key_1", ttlSec: 900 }),
    state: "ready",
    ...state,
  };
  const changes: SessionChange[] = [];
  const channel = {
    call: async (method: GuestMethod) => {
      asked.push(method);
      if (method !== "collect") return {};
      return (collects.shift() ?? (() => new Promise<never>(() => {})))();
    },
  } as unknown as GuestChannel;
  const onCaught = vi.fn<() => void>();
  const handover = createHandover({
    channel: () => channel,
    record: {
      get session() {
        return session;
      },
      change: async (change) => {
        changes.push(change);
        session = { ...session, ...change };
      },
    },
    onCaught,
    signal: stop.signal,
    logger: createLogger({ level: "silent" }),
  });
  return { handover, asked, collects, changes, onCaught, stop, caught: async () => ({ caught: box }) };
};

/** Whatever was asked for has been done. */
const pass = () => new Promise((resolve) => setImmediate(resolve));

describe("handing over", () => {
  test("open starts the asking; the box is given as often as wanted, until it was answered", async () => {
    const { handover, asked, collects, changes, onCaught, caught } = stand();
    collects.push(caught);
    expect(await handover.take()).toBeUndefined();
    expect(asked).toEqual([]);
    await handover.open(url);
    await pass();
    expect(asked).toEqual(["listen", "open", "collect"]);
    expect(onCaught).toHaveBeenCalledOnce();
    expect(handover.isCaught).toBe(true);
    expect([await handover.take(), await handover.take()]).toEqual([box, box]);
    await handover.answer("YW5zd2Vy");
    expect(handover.isCaught).toBe(false);
    expect(await handover.take()).toBeUndefined();
    expect(changes.map((change) => Object.keys(change))).toEqual([
      ["openedAt", "openedHost"],
      ["sealedTakenAt"],
      ["answeredAt"],
    ]);
  });

  test("of two URLs that come at once one is opened, and the other refused", async () => {
    const { handover, asked } = stand();
    const refused = { status: "rejected", reason: { code: "already-opened" } };
    expect(await Promise.allSettled([handover.open(url), handover.open(url)])).toMatchObject([
      { status: "fulfilled" },
      refused,
    ]);
    expect(asked).toEqual(["listen", "open", "collect"]);
  });

  test("of two answers that come at once one goes to the guest, and the other is refused; a later one goes again", async () => {
    const { handover, asked } = stand({ openedAt: "then", sealedTakenAt: "then" });
    const refused = { status: "rejected", reason: { code: "answering" } };
    expect(await Promise.allSettled([handover.answer("YQ=="), handover.answer("Yg==")])).toMatchObject([
      { status: "fulfilled" },
      refused,
    ]);
    expect(asked).toEqual(["answer"]);
    await handover.answer("YQ==");
    expect(asked).toEqual(["answer", "answer"]);
  });

  test("an answer before anything was fetched is refused", async () => {
    const { handover } = stand({ openedAt: "2026-01-01T00:00:00.000Z" });
    await expect(handover.answer("YW5zd2Vy")).rejects.toMatchObject({ code: "nothing-to-answer" });
  });

  test("a restarted controller asks again, also when the box was fetched already", async () => {
    const { handover, collects, asked, caught } = stand({ openedAt: "then", sealedTakenAt: "then" });
    collects.push(caught);
    handover.collect();
    handover.collect();
    await pass();
    expect(asked).toEqual(["collect"]);
    expect(await handover.take()).toEqual(box);
  });

  test.each([
    ["nothing was opened", { openedAt: null }],
    ["nobody is there to seal to", { openedAt: "then", recipientKey: null }],
    ["it was answered", { openedAt: "then", sealedTakenAt: "then", answeredAt: "then" }],
  ])("the guest is not asked when %s", async (_, state) => {
    const { handover, asked } = stand(state);
    handover.collect();
    await pass();
    expect(asked).toEqual([]);
  });

  test("after a failure it is asked again; one that does not wait costs little; an end ends the asking", async () => {
    const { handover, collects, asked, stop } = stand({ openedAt: "then" });
    collects.push(() => Promise.reject(new Error("the channel broke")));
    collects.push(...Array.from({ length: 500 }, () => async () => ({ caught: null })));
    const begin = performance.now();
    handover.collect();
    await vi.waitFor(() => expect(asked.length).toBeGreaterThan(3), 10_000);
    expect(asked.length).toBeLessThan(2 + (performance.now() - begin) / 240);
    stop.abort();
    const { length } = asked;
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(asked).toHaveLength(length);
  });
});
