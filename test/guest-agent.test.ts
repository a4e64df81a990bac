/** The real agent and the fake that controllers are tested against are held to the same. */
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CALLBACK, CALLBACK_TARGET, guestAgentConformance, type AgentUnderTest } from "./conformance/guest-agent.ts";
import { startFakeGuest } from "./fixtures/fake-guest.ts";
import { virtioPortIn, vsockIn } from "./fixtures/guest-devices.ts";
import { startTestAgent } from "./fixtures/test-agent.ts";

const startReal = async (deviceIn: typeof vsockIn): Promise<AgentUnderTest> => {
  const guest = await startTestAgent(deviceIn);
  await guest.setFirefox(417, 418);
  const comeBack = (): void => {
    const browser = request({ host: "127.0.0.1", port: CALLBACK.port, path: CALLBACK_TARGET, agent: false });
    browser.setHeader("host", `localhost:${CALLBACK.port}`);
    // It is told something in the end, or the agent goes first.
    browser.on("response", (response) => response.resume()).on("error", () => {});
    browser.end();
  };
  return { socketPath: guest.socketPath, comeBack, stop: () => guest.stop() };
};

guestAgentConformance("the real one on a virtio-serial port", () => startReal(virtioPortIn));

guestAgentConformance("the real one on vsock", () => startReal(vsockIn));

guestAgentConformance("the fake", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fake-guest-"));
  const channelPath = join(folder, "channel.sock");
  const guest = await startFakeGuest({
    channelPath,
    consoleFile: join(folder, "console.log"),
    callsFile: join(folder, "calls.jsonl"),
    behaviour: { caught: { method: "GET", target: CALLBACK_TARGET, rawHeaders: [], body: "" } },
  });
  const stop = async (): Promise<void> => {
    await guest.stop();
    await rm(folder, { recursive: true });
  };
  return { socketPath: channelPath, comeBack: () => {}, stop };
});
