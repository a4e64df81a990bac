import { expect, test } from "vitest";
import type { GuestChannel } from "../channel/channel.ts";
import { GUEST_PROTOCOL, type GuestMethod } from "../contract/guest.ts";
import { introduce } from "./introduce.ts";

const own = { pid: process.pid, startTicks: "0" };

/** What a guest whose agent speaks `protocol` is asked until it is introduced, or is not. */
const meet = async (protocol: number, agentVersion = "1.2.3") => {
  const asked: GuestMethod[] = [];
  const channel = {
    call: async (method: GuestMethod) => {
      asked.push(method);
      return method === "hello" ? { protocol, agentVersion } : {};
    },
  } as unknown as GuestChannel;
  const configure = () => ({ hostname: "vm" }) as never;
  const { signal } = new AbortController();
  const ending = introduce({ channel, process: own, signal, configure, timeoutMs: 1_000 });
  return { asked, failure: await ending.then(() => undefined).catch((error: unknown) => error) };
};

test("a guest of our protocol is told who it is", async () => {
  expect(await meet(GUEST_PROTOCOL)).toEqual({ asked: ["hello", "configure"], failure: undefined });
});

test.each([GUEST_PROTOCOL - 1, GUEST_PROTOCOL + 1])(
  "a guest of protocol %i is not: it would take the questions for others",
  async (protocol) => {
    const { asked, failure } = await meet(protocol, "0.9\u001b[31m");
    expect(asked).toEqual(["hello"]);
    expect(failure).toMatchObject({ isSymptom: false, verdict: { code: "agent-protocol", stage: "agent" } });
    expect(failure).toMatchObject({ verdict: { sentence: expect.stringContaining(`protocol ${protocol}, `) } });
    expect(JSON.stringify(failure)).not.toContain("\\u001b");
  },
);
