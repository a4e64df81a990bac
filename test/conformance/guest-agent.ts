/** What the controller counts on of a guest's agent: held by the real one and by the fake that its tests run against. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSocket } from "../../src/lib/open-stream.ts";
import { connectChannel } from "../../src/channel/connect.ts";
import type { GuestChannel } from "../../src/channel/channel.ts";
import {
  ANSWER_HEAD,
  GUEST_PROTOCOL,
  caughtRequest,
  type CallbackAnswer,
  type Sealed,
} from "../../src/contract/guest.ts";
import type { GuestMethod, GuestParams, GuestResult, GuestSession } from "../../src/contract/guest.ts";
import { createRecipient, keyThumbprint, sealTo, type Recipient } from "../../src/handover/sealing.ts";

/** What the browser comes back with. */
export const CALLBACK = { port: 18_976, path: "/oauth/callback" };
export const CALLBACK_TARGET = `${CALLBACK.path}?code=a%2Bb&state=x`;

export interface AgentUnderTest {
  /** Takes one client after the other. */
  socketPath: string;
  /** The person has signed in: the browser, which was sent off by `open`, asks for CALLBACK_TARGET. */
  comeBack(): void;
  stop(): Promise<void>;
}

const DONE: CallbackAnswer = { status: 200, headers: [], body: Buffer.from("done").toString("base64") };
const REFUSED = { code: "guest-refused", context: { rpcCode: -32_000 } };
const URL_TO_OPEN = "https://idp.example/authorize?state=x";

export const guestAgentConformance = (name: string, start: () => Promise<AgentUnderTest>): void => {
  describe(`${name}, as a guest's agent`, () => {
    let agent: AgentUnderTest;
    let channel: GuestChannel;
    let recipient: Recipient;
    let session: GuestSession;

    beforeEach(async () => {
      agent = await start();
      channel = connectChannel({ open: openSocket(agent.socketPath) });
      recipient = await createRecipient();
      const keyOf = keyThumbprint(recipient.publicKey);
      session = {
        sealing: { sessionId: "ses_1", provider: "oidc", userId: "ada", keyThumbprint: keyOf, expiresAt: "2026-11-22" },
        recipientKey: recipient.publicKey,
        providerTitle: "Example",
      };
    });

    afterEach(async () => {
      channel.close();
      await agent.stop();
    });

    const call = <M extends GuestMethod>(method: M, params: GuestParams<M>): Promise<GuestResult<M>> =>
      channel.call(method, params, { timeoutMs: 15_000 });

    /** A controller that was restarted. */
    const reconnect = (): void => {
      channel.close();
      channel = connectChannel({ open: openSocket(agent.socketPath) });
    };

    const catchOne = async (): Promise<Sealed> => {
      await call("configure", { session });
      await call("listen", CALLBACK);
      await call("open", { url: URL_TO_OPEN });
      agent.comeBack();
      const { caught } = await call("collect", { waitMs: 10_000 });
      if (!caught) throw new Error("nothing was caught");
      return caught;
    };

    const openBox = async (box: Sealed) => {
      const opened = await recipient.open(box, session.sealing);
      const answer = await opened.sealAnswer(Buffer.from(JSON.stringify(DONE)));
      return { request: caughtRequest.parse(JSON.parse(Buffer.from(opened.plaintext).toString())), answer };
    };

    test("speaks this protocol, and answers every question about itself in its shape", async () => {
      expect((await call("hello", { protocol: GUEST_PROTOCOL })).protocol).toBe(GUEST_PROTOCOL);
      await call("health", {});
      await call("facts", {});
      await call("units", {});
      await call("journal", { units: [], lines: 10 });
      expect(channel.traffic.garbageLines).toBe(0);
    });

    test("settles, and makes new what it shares with other clones, as often as it is told to, and neither once there is a session", async () => {
      const entropy = randomBytes(64).toString("base64");
      await call("settle", {});
      await call("settle", {});
      for (let times = 0; times < 2; times++) {
        expect((await call("renew", { entropy })).browserProcesses).toBeGreaterThanOrEqual(2);
      }
      await call("configure", { session });
      await expect(call("settle", {})).rejects.toMatchObject(REFUSED);
      await expect(call("renew", { entropy })).rejects.toMatchObject(REFUSED);
    });

    test("takes no fewer than 64 bytes for it", async () => {
      const short = channel.call("renew", { entropy: randomBytes(63).toString("base64") }, { timeoutMs: 15_000 });
      await expect(short).rejects.toMatchObject({ code: "guest-refused", context: { rpcCode: -32_602 } });
    });

    test("takes one session: the same again, and no other", async () => {
      await call("configure", { session });
      await call("configure", { session });
      await call("configure", { hostname: "sally-1" });
      const other = { ...session, sealing: { ...session.sealing, userId: "eve" } };
      await expect(call("configure", { session: other })).rejects.toMatchObject(REFUSED);
    });

    test("takes no session whose key is not the one it is bound to", async () => {
      const swapped = { ...session, recipientKey: (await createRecipient()).publicKey };
      await expect(call("configure", { session: swapped })).rejects.toMatchObject(REFUSED);
    });

    test.each(["http://idp.example/", "file:///etc/passwd", "about:config"])(
      "opens https alone: not %s",
      async (url) => {
        await expect(call("open", { url })).rejects.toMatchObject(REFUSED);
      },
    );

    test("listens for nobody but who has given a key", async () => {
      await expect(call("listen", CALLBACK)).rejects.toMatchObject(REFUSED);
      const { recipientKey: _none, ...keyless } = session;
      await call("configure", { session: keyless });
      await expect(call("listen", CALLBACK)).rejects.toMatchObject(REFUSED);
    });

    test("listens once for the same, which may be asked again, and not for another meanwhile", async () => {
      await call("configure", { session });
      await call("listen", CALLBACK);
      await call("listen", CALLBACK);
      await expect(call("listen", { ...CALLBACK, path: "/other" })).rejects.toMatchObject(REFUSED);
    });

    test("has nothing to hand over before the browser came back, and nothing to answer", async () => {
      expect(await call("collect", { waitMs: 0 })).toEqual({ caught: null });
      await call("configure", { session });
      await call("listen", CALLBACK);
      expect(await call("collect", { waitMs: 50 })).toEqual({ caught: null });
      await expect(call("answer", { sealedAnswer: "AAAA" })).rejects.toMatchObject(REFUSED);
    });

    test("hands over what the browser came back with, sealed, to who waits for it already", async () => {
      await call("configure", { session });
      await call("listen", CALLBACK);
      const waiting = call("collect", { waitMs: 14_000 });
      await call("open", { url: URL_TO_OPEN });
      agent.comeBack();
      const { caught } = await waiting;
      const { request } = await openBox(caught as Sealed);
      expect(request).toMatchObject({ method: "GET", target: CALLBACK_TARGET });
    });

    test("gives the same box after the controller was away, again and again, until it is answered", async () => {
      const box = await catchOne();
      for (let restarts = 0; restarts < 3; restarts++) {
        reconnect();
        expect(await call("collect", { waitMs: 0 })).toEqual({ caught: box });
      }
      const { answer } = await openBox(box);
      expect(await call("answer", { sealedAnswer: answer })).toEqual({});
      expect(await call("collect", { waitMs: 0 })).toEqual({ caught: null });
    });

    test("takes an answer that was sealed for this box, twice if need be, and keeps the box when it was not", async () => {
      const box = await catchOne();
      const { sealed } = await sealTo(
        recipient.publicKey,
        session.sealing,
        Buffer.from(JSON.stringify({ method: "GET", target: "/", rawHeaders: [], body: "" })),
      );
      await expect(call("answer", { sealedAnswer: (await openBox(sealed)).answer })).rejects.toMatchObject(REFUSED);
      expect(await call("collect", { waitMs: 0 })).toEqual({ caught: box });
      const { answer } = await openBox(box);
      await call("answer", { sealedAnswer: answer });
      reconnect();
      await call("answer", { sealedAnswer: answer });
    });

    test("answers each request in one line that begins as agreed, refuses what it does not know, and says nothing to nonsense", async () => {
      channel.close();
      const socket = connect(agent.socketPath);
      await once(socket, "connect");
      let text = "";
      socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      const ask = (id: number, method: string, params: unknown) =>
        socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
      socket.write("\n[]\nnonsense\n");
      ask(1, "nosuch", {});
      ask(2, "listen", { port: 80, path: "/" });
      ask(3, "health", {});
      const lines = (): string[] => text.split("\n").filter(Boolean);
      for (let tries = 0; lines().length < 3 && tries < 1000; tries++) await sleep(10);
      await sleep(50);
      socket.destroy();
      const byId = lines().map((line) => [Number(ANSWER_HEAD.exec(line)?.[1]), JSON.parse(line).error?.code]);
      expect(byId.toSorted(([a], [b]) => a - b)).toEqual([
        [1, -32_601],
        [2, -32_602],
        [3, undefined],
      ]);
    });
  });
};
