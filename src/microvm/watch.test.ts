import { expect, test } from "vitest";
import type { GuestChannel } from "../channel/channel.ts";
import { silentLogger } from "../lib/logger.ts";
import { identify } from "../lib/process.ts";
import { watchGuest } from "./watch.ts";

test("a running guest whose channel was closed for a flood is not waited for", async () => {
  const traffic = { bytes: 1, garbageLines: 1, spentMs: 1, isFlooding: true };
  const channel: GuestChannel = { call: () => Promise.reject(new Error("closed")), traffic, close: () => {} };
  const self = await identify(process.pid);
  if (!self) throw new Error("this process is not there");
  const watching = watchGuest({
    address: "127.84.0.1",
    channel,
    consoleFile: "/nonexistent/console.log",
    deadlinesSec: {},
    logger: silentLogger(),
    lookout: { slow: () => {}, fine: () => {} },
    process: self,
    // Far beyond what is waited for it here: nothing answers at that address either.
    unreachableSec: 600,
    signal: AbortSignal.timeout(15_000),
  });
  await expect(watching).rejects.toMatchObject({ isSymptom: true, verdict: { code: "guest-floods", stage: null } });
});
