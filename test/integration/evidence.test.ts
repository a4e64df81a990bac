/** What is left of a session to be read: one archive, without a secret, before and after its end. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readEnv } from "../../src/config/env.ts";
import { runCli } from "../../src/cli/cli.ts";
import type { TextSink } from "../../src/cli/output.ts";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import { createRecipient } from "../../src/handover/sealing.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

/** In the authorization URL, in the caught callback, on the console: it must be in no archive. */
const TOKEN = "T0pSecretT0pSecretT0pSecret";

const CONSOLE = [
  "[    0.000000] Linux version 0 (fake)",
  `firefox: JavaScript error: https://login.sallyport.test/cb?code=${TOKEN}&state=x, line 1`,
  `agent: GET /callback?code=${TOKEN} HTTP/1.1`,
  "\u001b]52;c;cm0gLXJmIH4K\u0007\u001b[0;32m  OK  \u001b[0m Started",
  "",
].join("\n");

const FILES = [
  "about.json",
  "channel.log",
  "config.json",
  "console.log",
  "facts.json",
  "stages.json",
  "verdict.json",
  "versions.json",
  "vmm.log",
];

let folder: string;
let controller: TestController;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-evidence-"));
  controller = await startController({
    config: { providers: { oidc: { issuer: "https://login.sallyport.test", clientId: "client-of-ours" } } },
    behaviour: () => ({
      console: CONSOLE,
      caught: { method: "GET", target: `/callback?code=${TOKEN}`, rawHeaders: ["cookie", TOKEN], body: "" },
    }),
  });
});
afterAll(async () => {
  await controller.dispose();
  await rm(folder, { recursive: true });
});

/** The archive's files by name. */
const unpack = async (archive: Uint8Array, sessionId: string): Promise<Record<string, string>> => {
  const into = await mkdtemp(join(folder, "unpacked-"));
  await writeFile(join(into, "archive.tar"), zstdDecompressSync(archive));
  await run("tar", ["-xf", join(into, "archive.tar"), "-C", into, "--no-same-owner"]);
  const names = (await readdir(join(into, sessionId))).toSorted();
  const files = await Promise.all(names.map((name) => readFile(join(into, sessionId, name), "utf8")));
  return Object.fromEntries(names.map((name, index) => [name, files[index] ?? ""]));
};

const startAndOpen = async (): Promise<string> => {
  const { publicKey: recipientKey } = await createRecipient();
  const { sessionId } = await controller.client.start({ provider: "oidc", recipientKey });
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  const url = new URL("https://login.sallyport.test/auth");
  const query = {
    response_type: "code",
    code_challenge: createHash("sha256").update("verifier").digest("base64url"),
    code_challenge_method: "S256",
    redirect_uri: "http://127.0.0.1:4321/callback",
    state: TOKEN,
  };
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  await controller.client.open(sessionId, { url: url.href, callback: { port: 4321, path: "/callback" } });
  await poll(async () => ((await controller.client.session(sessionId)).credential === "waiting" ? true : undefined), {
    what: "the sealed box",
    timeoutMs: 20_000,
    intervalMs: 100,
  });
  return sessionId;
};

/** A place for the program's words. */
const collect =
  (shown: { text: string }): TextSink["write"] =>
  (text, done) => {
    shown.text += text;
    done?.();
  };

const cli = async (args: string[], extra: { url?: string } = {}) => {
  const stdout = { text: "" };
  const stderr = { text: "" };
  const code = await runCli(args, {
    env: {
      ...readEnv(),
      url: undefined,
      key: undefined,
      configFile: join(controller.paths.root, "config.yaml"),
      ...extra,
    },
    signal: new AbortController().signal,
    stdout: { write: collect(stdout) },
    stderr: { write: collect(stderr) },
    isTerminal: false,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
};

describe("evidence", () => {
  let sessionId: string;

  test("of a living session: every file, and no token, whether from URL, callback or console", async () => {
    sessionId = await startAndOpen();
    // As after an upgrade: another is installed than the one that runs.
    const { config } = controller.paths.vm((await readdir(controller.paths.vms))[0] ?? "");
    await writeFile(config, (await readFile(config, "utf8")).replace('"0.0.0"', '"0.0.1"'));
    const archive = await controller.client.evidence(sessionId);
    const files = await unpack(archive, sessionId);
    expect(Object.keys(files)).toEqual(FILES);
    for (const [name, text] of Object.entries(files)) expect(text, name).not.toContain(TOKEN);
    expect(files["console.log"]).toBe(
      [
        "[    0.000000] Linux version 0 (fake)",
        "firefox: JavaScript error: https://login.sallyport.test/cb?[cut] line 1",
        "agent: GET /callback?[cut] HTTP/1.1",
        "\u001b[0;32m  OK  \u001b[0m Started",
        "\u001b[0m",
      ].join("\n"),
    );
    expect(JSON.parse(files["about.json"] ?? "")).toMatchObject({
      sessionId,
      provider: "oidc",
      state: "ready",
      openedHost: "login.sallyport.test",
      microvm: { backend: "fake" },
    });
    expect(JSON.parse(files["stages.json"] ?? "")).toHaveLength(8);
    expect(JSON.parse(files["versions.json"] ?? "")).toEqual({
      sallyport: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      node: process.version,
      fake: "0.0.1",
      hostKernel: expect.any(String) as string,
      image: `sha256:${"0".repeat(64)}`,
    });
    expect(JSON.parse(files["facts.json"] ?? "")).toMatchObject({ guest: { cmdline: expect.any(String) as string } });
    expect(files["facts.json"]).toContain("/cb?[cut]");
    expect(JSON.parse(files["verdict.json"] ?? "")).toMatchObject({
      verdict: null,
      diagnosis: { isProblem: expect.any(Boolean) as boolean },
    });
    expect(files["channel.log"]).toMatch(/^\S+Z open \d+ ms ok$/m);
    expect(files["channel.log"]).toMatch(/^\S+Z collect \d+ ms ok$/m);
  });

  test("the configuration in it names no path of a key and no provider's fields", async () => {
    const files = await unpack(await controller.client.evidence(sessionId), sessionId);
    const config = JSON.parse(files["config.json"] ?? "") as Record<string, unknown>;
    expect(config).toMatchObject({ publicUrl: "https://viewer.test", hasTls: false, providers: ["oidc"] });
    expect(files["config.json"]).not.toMatch(/client-of-ours|admin\.key|dataDir/);
  });

  test("over the command line into a file that only its owner reads", async () => {
    const file = join(folder, "live.tar.zst");
    const { code, stdout } = await cli(["evidence", sessionId, "-o", file]);
    expect(code).toBe(0);
    expect(stdout).toContain(`tar --zstd -xf ${file}`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(Object.keys(await unpack(await readFile(file), sessionId))).toEqual(FILES);
    expect((await cli(["evidence", sessionId, "-o", join(folder, "no", "such", "folder")])).code).toBe(2);
    expect((await cli(["evidence", "ses_00000000000000000000000000"])).code).toBe(4);
  });

  test("survives the microVM, a restart, and the controller itself", async () => {
    await controller.client.destroy(sessionId);
    const afterEnd = await unpack(await controller.client.evidence(sessionId), sessionId);
    expect(Object.keys(afterEnd)).toEqual(FILES);
    expect(afterEnd["console.log"]).toContain("Linux version 0 (fake)");
    controller = await controller.restart();
    expect(await unpack(await controller.client.evidence(sessionId), sessionId)).toEqual(afterEnd);

    await controller.stop();
    const file = join(folder, "orphan.tar.zst");
    const { code, stderr } = await cli(["evidence", sessionId, "-o", file]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(await unpack(await readFile(file), sessionId)).toEqual(afterEnd);
    // What is no id names no folder, and an address that somebody named is not this machine.
    expect((await cli(["evidence", "../evidence", "-o", join(folder, "x")])).code).toBe(6);
    expect((await cli(["evidence", sessionId, "-o", join(folder, "x")], { url: "http://127.0.0.1:2" })).code).toBe(3);
    controller = await controller.restart();
  });
});

test("a failed session's evidence has its verdict, and what is too old or too much goes, oldest first", async () => {
  const failing = await startController({
    config: { evidence: { maxMib: 1 } },
    behaviour: () => ({ vmm: "dies-at-start" }),
  });
  const { sessionId } = await failing.client.start({ provider: "oidc" });
  for await (const _view of failing.client.events(sessionId));
  const files = await unpack(await failing.client.evidence(sessionId), sessionId);
  expect(JSON.parse(files["verdict.json"] ?? "")).toMatchObject({ verdict: { code: expect.any(String) as string } });
  expect(files["vmm.log"]).toContain("could not open the rootfs");
  expect(JSON.parse(files["facts.json"] ?? "")).toMatchObject({ host: { vmm: { isAlive: false } } });
  // There was no channel to ask it by.
  expect(JSON.parse(files["facts.json"] ?? "")).not.toHaveProperty("guest");

  const filler = join(failing.paths.evidence(sessionId), "filler");
  await writeFile(filler, Buffer.alloc(2 * 1024 * 1024, "x"));
  const next = await failing.restart();
  await expect.poll(() => next.log(), { timeout: 10_000 }).toContain("old evidence removed");
  await expect(next.client.evidence(sessionId)).rejects.toMatchObject({ code: "no-evidence", status: 404 });
  await next.dispose();
});
