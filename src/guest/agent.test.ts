/** Both ends of the channel together: the whole agent behind two FIFOs, joined to the host's own client by a Unix socket. */
import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectChannel } from "../channel/connect.ts";
import type { GuestChannel } from "../channel/channel.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";
import type { run } from "../lib/exec.ts";
import { createRecipient, keyFingerprint, keyThumbprint } from "../handover/sealing.ts";
import { startAgent, type Agent } from "./agent.ts";

const FIREFOX_PID = 417;

let root: string;
let agent: Agent;
let channel: GuestChannel;
let bridge: Server;
let programs: string[][];
let hostSocket: Socket | undefined;

/** Plays the VMM: whatever client comes is joined to the guest's two FIFOs. */
const startBridge = async (): Promise<void> => {
  const toGuest = createWriteStream(join(root, "to-guest"));
  const fromGuest = createReadStream(join(root, "from-guest"));
  bridge = createServer((socket) => {
    hostSocket = socket.on("error", () => {});
    socket.on("data", (chunk) => toGuest.write(chunk));
  });
  fromGuest.on("data", (chunk) => hostSocket?.write(chunk));
  bridge.on("close", () => toGuest.destroy());
  await new Promise<void>((resolve) => bridge.listen(join(root, "channel.sock"), resolve));
};

const put = async (name: string, content: string): Promise<void> => {
  await mkdir(join(root, name, ".."), { recursive: true });
  await writeFile(join(root, name), content);
};

const runProgram: typeof run = async (file, args) => {
  programs.push([file, ...args]);
  const answers: Record<string, string> = {
    ip: args.includes("route") ? ROUTES : LINKS,
    journalctl: `one\u001b[31m "quoted"\n${"\u20ac".repeat(150_000)}\nlast line\n`,
  };
  if (file === "networkctl") throw new Error("Failed to connect to network service");
  return { stdout: answers[file] ?? "", stderr: "", exitCode: 0 };
};

const LINKS = JSON.stringify([
  { ifname: "lo", flags: ["LOOPBACK", "UP", "LOWER_UP"], mtu: 65536, operstate: "UNKNOWN", addr_info: [] },
  {
    ifname: "eth0",
    address: "06:00:c0:a8:64:05",
    flags: ["BROADCAST", "UP"],
    mtu: 1500,
    operstate: "DOWN",
    addr_info: [{ family: "inet", local: "192.168.100.5", prefixlen: 24, scope: "global" }],
  },
]);
const ROUTES = JSON.stringify([{ dst: "default", gateway: "192.168.100.1", dev: "eth0", protocol: "static" }]);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "agent-"));
  programs = [];
  execFileSync("mkfifo", [join(root, "to-guest"), join(root, "from-guest")]);
  await put("proc/uptime", "12.50 20.00\n");
  await put("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    2048000 kB\n");
  await put("proc/net/tcp", "  sl  local_address rem_address   st\n");
  await put("proc/sys/kernel/random/boot_id", "8a1919e9-4eaa-4b40-ac86-866a7d97b588\n");
  await put("proc/sys/kernel/hostname", "");
  await put("proc/cmdline", "console=ttyS0\n");
  await put("dev/urandom", "");
  await startBridge();
  agent = await startAgent({
    openDevice: async () => {
      const [input, output] = await Promise.all([
        open(join(root, "to-guest"), "r"),
        open(join(root, "from-guest"), "w"),
      ]);
      return { input, output };
    },
    healthPort: 0,
    pagePort: 0,
    root,
    log: () => {},
    runProgram,
  });
  channel = connectChannel({ socketPath: join(root, "channel.sock") });
});

afterEach(async () => {
  channel.close();
  await new Promise((resolve) => bridge.close(resolve));
  await agent.stop();
  await rm(root, { recursive: true });
});

const call = async <M extends GuestMethod>(method: M, params: GuestParams<M>): Promise<GuestResult<M>> =>
  channel.call(method, params, { timeoutMs: 10_000 });

const page = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${agent.pagePort}${path}`, init);

test("greets with what it is", async () => {
  expect(await call("hello", { protocol: 1 })).toMatchObject({
    protocol: 1,
    agentVersion: JSON.parse(await readFile("package.json", "utf8")).version,
    bootId: "8a1919e9-4eaa-4b40-ac86-866a7d97b588",
    uptimeSec: 12.5,
  });
});

test("is healthy for the network only at one address", async () => {
  const health = await fetch(`http://127.0.0.1:${agent.healthPort}/health`);
  expect([health.status, await health.json()]).toEqual([200, { status: "ok" }]);
  for (const path of ["/", "/health?x", "/Health", "/painted"]) {
    expect((await fetch(`http://127.0.0.1:${agent.healthPort}${path}`)).status).toBe(404);
  }
});

test("health follows display and browser", async () => {
  expect(await call("health", {})).toMatchObject({ isDisplayUp: false, browser: "absent", memAvailableMib: 2000 });

  // A connection from port 5901 is no display; a socket listening there is.
  await put("proc/net/tcp", "   0: 0100007F:170D 0100007F:1F90 01 00000000:00000000\n");
  expect((await call("health", {})).isDisplayUp).toBe(false);
  await put("proc/net/tcp", "   0: 00000000:170D 00000000:0000 0A 00000000:00000000\n");
  expect((await call("health", {})).isDisplayUp).toBe(true);

  const procs = "sys/fs/cgroup/system.slice/sallyport-browser.service/cgroup.procs";
  await put(procs, `${FIREFOX_PID}\n`);
  await put(`proc/${FIREFOX_PID}/comm`, "firefox-esr\n");
  expect((await call("health", {})).browser).toBe("running");
  await page("/painted", { method: "POST" });
  expect((await call("health", {})).browser).toBe("painted");

  // Restarted: what the one before painted does not count.
  await put(procs, "900\n");
  await put("proc/900/comm", "firefox-esr\n");
  expect((await call("health", {})).browser).toBe("running");
});

test("opens https in the running browser only, as the browser's user", async () => {
  await expect(call("open", { url: "https://idp.example/" })).rejects.toMatchObject({ code: "guest-refused" });
  await put("sys/fs/cgroup/system.slice/sallyport-browser.service/cgroup.procs", "1\n2\n");
  await put("proc/2/comm", "firefox-esr\n");
  for (const url of ["http://idp.example/", "file:///etc/passwd", "javascript:alert(1)", "about:config"]) {
    await expect(call("open", { url })).rejects.toMatchObject({ code: "guest-refused" });
  }
  expect(programs).toEqual([]);
  await call("open", { url: "https://idp.example/?a=b%20c" });
  await call("open", { url: `http://127.0.0.1:${agent.pagePort}/` });
  expect(programs.map((program) => program.at(-1))).toEqual([
    "https://idp.example/?a=b%20c",
    `http://127.0.0.1:${agent.pagePort}/`,
  ]);
  expect(programs[0]?.slice(0, 3)).toEqual(["setpriv", "--reuid=1000", "--regid=1000"]);
});

test("takes its identity, each part by itself", async () => {
  await call("configure", { hostname: "sally-1", nameserver: "192.168.100.1", entropy: "AAECAw==" });
  expect(await readFile(join(root, "proc/sys/kernel/hostname"), "utf8")).toBe("sally-1");
  expect(await readFile(join(root, "etc/hosts"), "utf8")).toContain("127.0.1.1\tsally-1\n");
  expect(await readFile(join(root, "etc/resolv.conf"), "utf8")).toBe("nameserver 192.168.100.1\n");
  expect([...(await readFile(join(root, "dev/urandom")))]).toEqual([0, 1, 2, 3]);
  await call("configure", { clockMs: Date.now() });
  expect(programs).toEqual([]);
  await call("configure", { clockMs: 1_900_000_000_123 });
  expect(programs).toEqual([["date", "--set=@1900000000.123"]]);
});

test("gives the end of its journal, without control characters and within one line", async () => {
  const { text } = await call("journal", { lines: 500, units: ["sallyport-agent.service"] });
  expect(text.endsWith("\nlast line\n")).toBe(true);
  expect(text).not.toContain("\u001b");
  expect(programs.at(-1)).toContain("--unit=sallyport-agent.service");
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
  const rebound = await fetch(`http://localhost:${agent.pagePort}/events`);
  expect(rebound.status).toBe(403);
});

test("answers again after the host went away and came back", async () => {
  await call("health", {});
  hostSocket?.destroy();
  expect(await call("health", {})).toMatchObject({ uptimeSec: 12.5 });
});
