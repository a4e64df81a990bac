/** The program as it is started by a person or a script: exit codes, both outputs, and one whole sign-in. */
import { spawn, type ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  KEY,
  PUBLIC_URL,
  startFakeController,
  type FakeController,
  type FakeControllerOptions,
} from "../../test/fixtures/fake-controller.ts";
import { CLIENT_ID, startIdentityProvider, type IdentityProvider } from "../../test/fixtures/identity-provider.ts";
import { providerRecipe } from "../contract/provider.ts";
import { signReceipt } from "../handover/receipt.ts";
import { packageRoot } from "../lib/paths.ts";

// Each starts the whole program, some of them twice, on a machine that may have much to do.
vi.setConfig({ testTimeout: 60_000 });

const folder = mkdtempSync(join(tmpdir(), "sallyport-cli-"));
const NOBODY = "unix:/nobody/is/here.sock";

interface Ending {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `full` names the output that goes to a disk without room. */
const sallyport = (
  args: string[],
  env: Record<string, string> = {},
  onStdout?: (text: string, child: ChildProcess) => void,
  full?: "stdout" | "stderr",
) =>
  new Promise<Ending>((resolve, reject) => {
    const disk = openSync("/dev/full", "w");
    const child = spawn(join(packageRoot(), "node_modules", ".bin", "node"), ["src/main.ts", ...args], {
      cwd: packageRoot(),
      env: { PATH: process.env.PATH, HOME: folder, SALLYPORT_DATA_DIR: join(folder, "data"), ...env },
      stdio: ["ignore", full === "stdout" ? disk : "pipe", full === "stderr" ? disk : "pipe"],
    });
    closeSync(disk);
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (text) => {
      stdout += String(text);
      onStdout?.(stdout, child);
    });
    child.stderr?.on("data", (text) => (stderr += String(text)));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });

const lastLine = ({ stdout }: Ending): unknown => JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
const lines = ({ stdout }: Ending): Record<string, unknown>[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("exit codes and sentences", () => {
  test("no controller: 6, and how to start one", async () => {
    const ending = await sallyport(["ls"], { SALLYPORT_URL: NOBODY, SALLYPORT_KEY: "k" });
    expect(ending.code).toBe(6);
    expect(ending.stderr).toMatch(
      /^No controller answers at unix:\/nobody\/is\/here\.sock\.\nWhat to do: Is the controller running \(sudo sallyport up\)\?/,
    );
    expect(ending.stdout).toBe("");
  });

  test("with --json the same as one line of JSON", async () => {
    const ending = await sallyport(["ls", "--json", "--url", NOBODY, "--key", "k"]);
    expect(ending.code).toBe(6);
    expect(lastLine(ending)).toMatchObject({ ok: false, verdict: { code: "controller-unreachable" } });
  });

  test("never started: no key yet", async () => {
    const ending = await sallyport(["ls"]);
    expect([ending.code, ending.stderr]).toEqual([
      6,
      expect.stringMatching(/there is no \S+admin\.key\..*sallyport up/s),
    ]);
  });

  test("an empty variable is one that is not set", async () => {
    const empty = { SALLYPORT_KEY: "", SALLYPORT_URL: "", SALLYPORT_CONFIG: "", SALLYPORT_PUBLIC_URL: "" };
    expect((await sallyport(["ls"], empty)).stderr).toMatch(/there is no \S+admin\.key\./);
  });

  test("a result that a full disk swallows: 6, also of what is short", async () => {
    const ending = await sallyport(["image", "ls"], {}, undefined, "stdout");
    expect([ending.code, ending.stderr]).toEqual([
      6,
      expect.stringMatching(/^What is said on standard output is lost/),
    ]);
  });

  test("the local key is not sent to an address that somebody named", async () => {
    const ending = await sallyport(["ls", "--url", "https://elsewhere.invalid"]);
    expect([ending.code, ending.stderr]).toEqual([3, expect.stringMatching(/^No API key is given/)]);
  });

  test.each<[string, string[], number]>([
    ["an unknown command", ["frobnicate"], 2],
    ["an unknown option", ["ls", "--frob"], 2],
    ["a missing argument", ["show"], 2],
    ["neither session nor --all", ["destroy"], 2],
    ["an unknown scope", ["keys", "add", "ann", "--scope", "root"], 2],
    ["help", ["--help"], 0],
  ])("%s", async (_what, args, code) => {
    expect((await sallyport(args)).code).toBe(code);
  });

  test("an image that is not there: 4", async () => {
    expect((await sallyport(["image", "verify"])).code).toBe(4);
    expect((await sallyport(["image", "ls"])).stdout).toMatch(/^No images/);
  });
});

describe("receipt verify", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const at = new Date().toISOString();
  const gone = [{ kind: "tap" as const, ref: "sp-\u001b[31mred", acquiredAt: at, seenGoneAt: at }];
  const times = { startedAt: at, destroyedAt: at };
  const who = { sessionId: "ses_1", provider: "oidc", userId: "ann", vmId: null, imageDigest: null };
  const receipt = signReceipt({ version: 1, ...who, ...times, outcome: "signed-in", gone }, privateKey);
  const write = (content: unknown): string => {
    const file = join(folder, "receipt.json");
    writeFileSync(file, JSON.stringify(content));
    return file;
  };

  test("genuine: 0, without passing control characters to the terminal", async () => {
    const ending = await sallyport(["receipt", "verify", write(receipt)]);
    expect([ending.code, ending.stdout]).toEqual([0, expect.stringMatching(/genuine.*tap +sp-red/s)]);
    expect(ending.stdout).not.toContain("\u001b");
  });

  test("changed, or of another host: 2", async () => {
    const changed = { ...receipt, body: { ...receipt.body, gone: [] } };
    expect((await sallyport(["receipt", "verify", write(changed)])).code).toBe(2);
    const other = join(folder, "other.pem");
    writeFileSync(other, generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }));
    expect((await sallyport(["receipt", "verify", write(receipt), "--public-key", other])).code).toBe(2);
  });
});

describe("login", () => {
  let identity: IdentityProvider;
  let fake: FakeController;
  let env: Record<string, string>;
  let subject = "ann";
  beforeAll(async () => {
    identity = await startIdentityProvider();
  });
  afterEach(() => fake.close());
  afterAll(() => identity.close());

  /** The shipped recipe has no issuer; the CLI takes issuer and client id from the controller. */
  const controller = async (
    browse?: FakeControllerOptions["browse"],
    options: Partial<FakeControllerOptions> = {},
  ): Promise<void> => {
    const fields = { name: "oidc", title: "Test", mode: "oidc", issuer: identity.issuer, clientId: CLIENT_ID };
    const recipe = providerRecipe.parse(fields);
    fake = await startFakeController({
      recipe,
      browse: browse ?? ((request) => identity.signIn(request, subject)),
      ...options,
    });
    env = {
      SALLYPORT_URL: fake.url,
      SALLYPORT_KEY: KEY,
      SALLYPORT_PUBLIC_URL: PUBLIC_URL,
      NODE_EXTRA_CA_CERTS: identity.ca,
    };
  };

  test("oidc with --json: first line for the viewer, last line with account, timings and receipt", async () => {
    await controller();
    const ending = await sallyport(["login", "oidc", "--json", "--print-tokens"], env);
    expect(ending.stderr).toBe("");
    expect(ending.code).toBe(0);
    expect(lines(ending)[0]).toMatchObject({
      event: "started",
      sessionId: "ses_fake",
      novncURL: expect.stringContaining("/novnc") as string,
      pairingCode: "ABCD-EFGH",
      keyFingerprint: expect.stringMatching(/^([0-9a-f]{4} ){3}[0-9a-f]{4}$/) as string,
    });
    expect(lastLine(ending)).toMatchObject({
      ok: true,
      account: { sub: "ann", name: "Person ann", issuer: identity.issuer },
      tokens: { token_type: "bearer", id_token: expect.any(String) as string },
      timings: { started: expect.any(Number) as number, destroyed: expect.any(Number) as number },
      receipt: { body: { sessionId: "ses_fake" } },
    });
    expect(fake.opened[0]?.callback).toMatchObject({ path: "/callback" });
    expect(Buffer.from(fake.answers[0]?.body ?? "", "base64").toString()).toContain("signed in as Person ann");
  });

  test("tokens go to a file of mode 0600, never to the terminal, and never over another account's", async () => {
    const file = join(folder, "tokens.json");
    await controller();
    const ending = await sallyport(["login", "oidc", "--token-file", file], env);
    expect(ending).toMatchObject({ code: 0, stdout: expect.stringMatching(/Signed in as Person ann/) as string });
    const stored = JSON.parse(readFileSync(file, "utf8")) as { access_token: string };
    expect(ending.stdout + ending.stderr).not.toContain(stored.access_token);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await fake.close();

    subject = "eve";
    await controller();
    const second = await sallyport(["login", "oidc", "--token-file", file], env);
    expect([second.code, second.stderr]).toEqual([5, expect.stringMatching(/another account \(ann\); Person eve/)]);
    expect(readFileSync(file, "utf8")).toContain(stored.access_token);

    symlinkSync(file, join(folder, "link"));
    expect((await sallyport(["login", "oidc", "--token-file", join(folder, "link")], env)).code).toBe(2);
  });

  test("a callback with a foreign state is refused, and the browser is told", async () => {
    await controller(async (request) => {
      const caught = await identity.signIn(request, "ann");
      return { ...caught, target: caught.target.replace(/state=[^&]+/, "state=forged") };
    });
    const ending = await sallyport(["login", "oidc", "--json"], env);
    expect(ending.code).toBe(3);
    expect(lastLine(ending)).toMatchObject({ ok: false, verdict: { code: "sign-in-refused" } });
    expect(fake.answers[0]?.status).toBe(400);
    expect(fake.destroyed).toEqual(["ses_fake"]);
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s destroys the session and leaves with 130", async (signal) => {
    await controller(async () => undefined);
    let isSent = false;
    const ending = await sallyport(["login", "oidc", "--json"], env, (stdout, child) => {
      if (isSent || !stdout.includes('"opened"')) return;
      isSent = true;
      child.kill(signal);
    });
    expect(ending.code).toBe(130);
    expect(fake.destroyed).toEqual(["ses_fake"]);
    expect(lastLine(ending)).toMatchObject({ ok: false, verdict: { code: "interrupted" } });
  });

  test.each([
    ["stdout", "output", ["--json"]],
    ["stderr", "error", []],
  ] as const)("%s that is full destroys the session, and the other one says so", async (full, name, options) => {
    await controller(async () => undefined);
    const ending = await sallyport(["login", "oidc", ...options], env, undefined, full);
    expect([ending.code, fake.destroyed]).toEqual([6, ["ses_fake"]]);
    const told = ending.stdout + ending.stderr;
    expect(told).toMatch(RegExp(`^What is said on standard ${name} is lost, so this stops: ENOSPC.*\nWhat to do: `));
    expect(told).not.toMatch(/^ +at /m);
  });

  test("an issuer whose page to sign in at is another's is refused on this side", async () => {
    identity.lieAbout("https://evil.test/auth");
    await controller(async () => undefined, { isGullible: true });
    const ending = await sallyport(["login", "oidc", "--json"], env);
    expect(lastLine(ending)).toMatchObject({ ok: false, verdict: { code: "url-host-not-listed" } });
    expect(fake.opened).toEqual([]);
  });

  test("the tool's environment has nothing of ours, and the rest as it was", async () => {
    await controller();
    const file = join(folder, "printer.yaml");
    const recipe = { name: "oidc", title: "Printer", mode: "open", command: ["/usr/bin/env"], hosts: ["localhost"] };
    writeFileSync(file, JSON.stringify(recipe));
    const ours = { ...env, SALLYPORT_LOG_LEVEL: "debug", SALLYPORT_SOMETHING_NEW: "x", THEIRS: "kept" };
    const ending = await sallyport(["login", "oidc", "--recipe", file], ours);
    expect(ending.stderr).toMatch(/^THEIRS=kept$/m);
    expect(ending.stderr).not.toMatch(/SALLYPORT_/);
    expect(ending.stdout + ending.stderr).not.toContain(KEY);
  });

  test("an unknown provider: 4; token options for a tool: 2; a tool that is missing: 6, before any session", async () => {
    await controller();
    expect((await sallyport(["login", "nothing"], env)).code).toBe(4);
    expect((await sallyport(["login", "codex", "--print-tokens"], env)).code).toBe(2);
    expect((await sallyport(["login", "codex"], { ...env, PATH: "/nonexistent" })).code).toBe(6);
    expect(fake.destroyed).toEqual([]);
  });
});
