import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import type { GuestChannel } from "../channel/channel.ts";
import { silentLogger } from "../lib/logger.ts";
import { identify } from "../lib/process.ts";
import { NOBODY_TOLD } from "./lookout.ts";
import { watchGuest } from "./watch.ts";

const watching = async ({ isFlooding = false, consoleFile = "/nonexistent/console.log" }) => {
  const traffic = { bytes: 1, garbageLines: 1, spentMs: 1, isFlooding };
  const channel: GuestChannel = { call: () => Promise.reject(new Error("closed")), traffic, close: () => {} };
  const self = await identify(process.pid);
  if (!self) throw new Error("this process is not there");
  return watchGuest({
    address: "127.84.0.1",
    channel,
    consoleFile,
    deadlinesSec: {},
    logger: silentLogger(),
    lookout: NOBODY_TOLD,
    process: self,
    // Far beyond what is waited for it here: nothing answers at that address either.
    unreachableSec: 600,
    signal: AbortSignal.timeout(15_000),
  });
};

test("a running guest whose channel was closed for a flood is not waited for", async () => {
  const verdict = { code: "guest-floods", stage: null };
  await expect(watching({ isFlooding: true })).rejects.toMatchObject({ isSymptom: true, verdict });
});

test("a guest whose console the host cannot cut fails with a reason", async () => {
  const verdict = { code: "console-unusable", sentence: expect.stringContaining("(EISDIR)") };
  await expect(watching({ consoleFile: tmpdir() })).rejects.toMatchObject({ isSymptom: true, verdict });
});
