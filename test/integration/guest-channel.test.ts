/** The guest's agent as root, on vsock, and the other users of its machine. */
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CHANNEL_SOCKET } from "../../src/guest/device.ts";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import { vsockIn } from "../fixtures/guest-devices.ts";
import { startTestAgent, type TestAgent } from "../fixtures/test-agent.ts";

/** In the guest's image: Firefox's. */
const BROWSER_UID = 1000;

let guest: TestAgent;
let socketPath: string;

beforeAll(async () => {
  guest = await startTestAgent(vsockIn);
  socketPath = join(guest.root, CHANNEL_SOCKET);
  const isThere = async () => (await connectAs(0)) === "connected" || undefined;
  await poll(isThere, { what: "the agent", timeoutMs: 20_000, intervalMs: 50 });
  for (const folder of [guest.root, join(guest.root, "run")]) await chmod(folder, 0o755);
});
afterAll(() => guest.stop());

const CONNECT = 'socket($s, AF_UNIX, SOCK_STREAM, 0); print connect($s, sockaddr_un(shift)) ? "connected" : $!';

const connectAs = async (uid: number): Promise<string> => {
  const user = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
  return (await run("setpriv", [...user, "perl", "-MSocket", "-e", CONNECT, socketPath])).stdout;
};

test("Firefox's user does not reach the agent's socket: neither its folder lets it, nor the socket itself", async () => {
  expect(await connectAs(BROWSER_UID)).toBe("Permission denied");
  await chmod(join(socketPath, ".."), 0o755);
  expect(await connectAs(BROWSER_UID)).toBe("Permission denied");
});
