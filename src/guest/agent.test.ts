/** Both ends of the channel together: the whole agent without a machine, asked by the host's own client. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../../test/fixtures/test-agent.ts";
import { openSocket } from "../lib/open-stream.ts";
import { connectChannel } from "../channel/connect.ts";
import type { GuestChannel } from "../channel/channel.ts";
import { GUEST_PROTOCOL } from "../contract/guest.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";
import { createRecipient, keyFingerprint, keyThumbprint } from "../handover/sealing.ts";

const FIREFOX_PID = 417;

let guest: TestAgent;
let channel: GuestChannel;
const put: TestAgent["put"] = (name, content) => guest.put(name, content);

beforeEach(async () => {
  guest = await startTestAgent();
  channel = connectChannel({ open: openSocket(guest.socketPath) });
});

afterEach(async () => {
  channel.close();
  await guest.stop();
});

const call = async <M extends GuestMethod>(method: M, params: GuestParams<M>): Promise<GuestResult<M>> =>
  channel.call(method, params, { timeoutMs: 10_000 });

const page = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${guest.agent.pagePort}${path}`, init);

test("greets with what it is", async () => {
  expect(await call("hello", { protocol: GUEST_PROTOCOL })).toMatchObject({
    protocol: GUEST_PROTOCOL,
    agentVersion: JSON.parse(await readFile("package.json", "utf8")).version,
    bootId: "8a1919e9-4eaa-4b40-ac86-866a7d97b588",
    uptimeSec: 12.5,
  });
});

test("is healthy for the network only at one address", async () => {
  const health = await fetch(`http://127.0.0.1:${guest.agent.healthPort}/health`);
  expect([health.status, await health.json()]).toEqual([200, { status: "ok" }]);
  for (const path of ["/", "/health?x", "/Health", "/painted"]) {
    expect((await fetch(`http://127.0.0.1:${guest.agent.healthPort}${path}`)).status).toBe(404);
  }
});

test("health follows display and browser", async () => {
  expect(await call("health", {})).toMatchObject({ isDisplayUp: false, browser: "absent", memAvailableMib: 2000 });

  // A connection from port 5901 is no display; a socket listening there is.
  await put("proc/net/tcp", "   0: 0100007F:170D 0100007F:1F90 01 00000000:00000000\n");
  expect((await call("health", {})).isDisplayUp).toBe(false);
  await put("proc/net/tcp", "   0: 00000000:170D 00000000:0000 0A 00000000:00000000\n");
  expect((await call("health", {})).isDisplayUp).toBe(true);

  await guest.setFirefox(FIREFOX_PID);
  expect((await call("health", {})).browser).toBe("running");
  await page("/painted", { method: "POST" });
  expect((await call("health", {})).browser).toBe("painted");

  // Restarted: what the one before painted does not count.
  await guest.setFirefox(900);
  expect((await call("health", {})).browser).toBe("running");
});

test("opens https in the running browser only, as the browser's user", async () => {
  await expect(call("open", { url: "https://idp.example/" })).rejects.toMatchObject({ code: "guest-refused" });
  await guest.setFirefox(1, 2);
  for (const url of ["http://idp.example/", "file:///etc/passwd", "javascript:alert(1)", "about:config"]) {
    await expect(call("open", { url })).rejects.toMatchObject({ code: "guest-refused" });
  }
  expect(guest.programs).toEqual([]);
  await call("open", { url: "https://idp.example/?a=b%20c" });
  await call("open", { url: `http://127.0.0.1:${guest.agent.pagePort}/` });
  expect(guest.programs.map((program) => program.at(-1))).toEqual([
    "https://idp.example/?a=b%20c",
    `http://127.0.0.1:${guest.agent.pagePort}/`,
  ]);
  expect(guest.programs[0]?.slice(0, 3)).toEqual(["setpriv", "--reuid=1000", "--regid=1000"]);
});

test("takes its identity, each part by itself", async () => {
  const machineId = "0123456789abcdef0123456789abcdef";
  await call("configure", { hostname: "sally-1", nameserver: "192.168.100.1", machineId });
  expect(await readFile(join(guest.root, "proc/sys/kernel/hostname"), "utf8")).toBe("sally-1");
  expect(await readFile(join(guest.root, "etc/hosts"), "utf8")).toContain("127.0.1.1\tsally-1\n");
  expect(await readFile(join(guest.root, "etc/resolv.conf"), "utf8")).toBe("nameserver 192.168.100.1\n");
  expect(await readFile(join(guest.root, "etc/machine-id"), "utf8")).toBe(`${machineId}\n`);
  await call("configure", { clockMs: Date.now() });
  expect(guest.programs).toEqual([]);
  await call("configure", { clockMs: 1_900_000_000_123 });
  expect(guest.programs).toEqual([["date", "--set=@1900000000.123"]]);
});

test("gives the end of its journal, without control characters and within one line", async () => {
  const { text } = await call("journal", { lines: 500, units: ["sallyport-agent.service"] });
  expect(text.endsWith("\nlast line\n")).toBe(true);
  expect(text).not.toContain("\u001b");
  expect(guest.programs.at(-1)).toContain("--unit=sallyport-agent.service");
});

test("shows on the waiting page whose sign-in it is, and serves one session only", async () => {
  const { publicKey } = await createRecipient();
  const sealing = {
    sessionId: "ses_1",
    provider: "oidc",
    userId: "<b>ada</b>",
    keyThumbprint: keyThumbprint(publicKey),
    expiresAt: "2026-11-22T12:00:00.000Z",
  };
  const session = { sealing, recipientKey: publicKey, providerTitle: "Example" };
  const events = (await page("/events")).body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await events?.read())?.value).toBe("retry: 500\n\n");

  const swapped = { ...session, recipientKey: (await createRecipient()).publicKey };
  await expect(call("configure", { session: swapped })).rejects.toMatchObject({ code: "guest-refused" });
  await call("configure", { session });
  const data = JSON.stringify({
    providerTitle: "Example",
    userId: "<b>ada</b>",
    fingerprint: keyFingerprint(publicKey),
  });
  expect((await events?.read())?.value).toBe(`event: session\ndata: ${data}\n\n`);

  await call("configure", { session });
  const other = { ...session, sealing: { ...sealing, userId: "eve" } };
  await expect(call("configure", { session: other })).rejects.toMatchObject({ code: "guest-refused" });
  await events?.cancel();
});

test("lets no other page talk to the waiting page", async () => {
  const served = await page("/");
  expect(served.headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'sha256-");
  expect(served.headers.get("referrer-policy")).toBe("no-referrer");
  const foreign = await page("/painted", { method: "POST", headers: { origin: "https://idp.example" } });
  expect(foreign.status).toBe(403);
  const rebound = await fetch(`http://localhost:${guest.agent.pagePort}/events`);
  expect(rebound.status).toBe(403);
});

test("answers again after the host went away and came back", async () => {
  await call("health", {});
  guest.hangUp();
  expect(await call("health", {})).toMatchObject({ uptimeSec: 12.5 });
});
