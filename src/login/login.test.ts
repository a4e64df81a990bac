import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  KEY,
  PUBLIC_URL,
  startFakeController,
  type FakeController,
  type FakeControllerOptions,
} from "../../test/fixtures/fake-controller.ts";
import { createClient, type Client } from "../client/client.ts";
import type { OpenRequest } from "../contract/api.ts";
import type { CaughtRequest } from "../contract/guest.ts";
import { providerRecipe, type ProviderRecipe } from "../contract/provider.ts";
import { login, type LoginEvent, type LoginResult } from "./login.ts";
import { createRecipient } from "../handover/sealing.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../../test/fixtures/tools/${name}`, import.meta.url));

const recipeOf = (how: string, more: Record<string, unknown> = {}): ProviderRecipe =>
  providerRecipe.parse({
    name: "tool",
    title: "Tool",
    mode: "relay",
    command: [process.execPath, fixture("loopback-tool.mjs")],
    env: { FAKE_TOOL: how, FAKE_TOOL_WIRE: wire },
    hosts: ["login.example.com"],
    credential: "~/.tool",
    ...more,
  });

/** The person signs in and the browser is sent back with a code and the state. */
const signsIn = async ({ url, callback }: OpenRequest): Promise<CaughtRequest> => ({
  method: "GET",
  target: `${callback?.path}?code=c0de&state=${new URL(url).searchParams.get("state")}`,
  rawHeaders: ["Host", `localhost:${callback?.port}`, "User-Agent", "Firefox", "Connection", "keep-alive"],
  body: "",
});

let folder: string;
let wire: string;
let fake: FakeController;
let client: Client;
let events: LoginEvent[];

beforeEach(() => {
  folder = mkdtempSync("/tmp/sallyport-login-");
  wire = join(folder, "wire");
  events = [];
  // Where shims are made: each test sees its own only.
  process.env.TMPDIR = folder;
});
afterEach(async () => {
  await client.close();
  await fake.close();
});

const run = async (
  recipe: ProviderRecipe,
  options: Partial<FakeControllerOptions> = {},
  signal = new AbortController().signal,
): Promise<LoginResult> => {
  fake = await startFakeController({ recipe, browse: signsIn, ...options });
  client = createClient({ url: fake.url, key: KEY });
  return login({
    client,
    recipe,
    publicUrl: PUBLIC_URL,
    env: process.env,
    isInteractive: false,
    signal,
    onEvent: (event) => events.push(event),
  });
};

const names = (): string[] =>
  events.map(({ event }) => event).filter((name) => !["stage", "tool-output"].includes(name));
const printed = (): string => events.map((event) => (event.event === "tool-output" ? event.text : "")).join("");

describe("relay", () => {
  test.each(["xdg-open", "BROWSER", "prints"])("signs a tool in that uses %s", async (how) => {
    const result = await run(recipeOf(how));
    expect(names()).toEqual([
      "started",
      "ready",
      "active",
      "tool-started",
      "opened",
      "caught",
      "signed-in",
      "destroyed",
    ]);
    expect(printed()).toContain("got c0de");
    const [opened] = fake.opened;
    const state = new URL(opened?.url ?? "").searchParams.get("state");
    expect(readFileSync(wire, "latin1")).toBe(
      `GET /callback?code=c0de&state=${state} HTTP/1.1\r\nHost: localhost:${opened?.callback?.port}\r\nUser-Agent: Firefox\r\nConnection: keep-alive\r\n\r\n`,
    );
    const [answer] = fake.answers;
    expect(Buffer.from(answer?.body ?? "", "base64").toString()).toBe("<p>The tool is signed in</p>");
    expect(answer?.headers).toContainEqual(["X-Tool", "Real"]);
    expect(result).toMatchObject({
      account: null,
      credential: "~/.tool",
      receipt: { body: { sessionId: "ses_fake" } },
    });
    expect(Object.keys(result.timings)).toEqual(
      expect.arrayContaining(["started", "browser", "active", "opened", "signedIn"]),
    );
    expect(fake.destroyed).toEqual(["ses_fake"]);
  });

  test("the tool is started only when the viewer is there", async () => {
    let isThere = false;
    let before: string[] = [];
    setTimeout(() => {
      before = names();
      isThere = true;
      fake.publish();
    }, 300);
    const change: FakeControllerOptions["change"] = (view) =>
      isThere ? view : { ...view, state: "ready", hasViewer: false };
    await run(recipeOf("xdg-open"), { change });
    expect(before).toEqual(["started", "ready"]);
    expect(names().slice(1, 4)).toEqual(["ready", "active", "tool-started"]);
  });

  test("a tool that redirects to its own second page comes to its end, and its ID token stays here", async () => {
    await run(recipeOf("redirects"));
    expect(Buffer.from(fake.answers[0]?.body ?? "", "base64").toString()).toBe("<p>Second page</p>");
    expect(JSON.stringify(fake.answers)).not.toContain("SECRET");
  });

  test("a code typed into the tool by hand counts as well", async () => {
    await run(recipeOf("leaves"), { browse: async () => undefined });
    expect(names()).not.toContain("caught");
    expect(names()).toContain("signed-in");
  });

  test.each<[string, string, Partial<FakeControllerOptions>, object]>([
    ["dies early", "dies", {}, { code: "tool-ended", context: { toolExitCode: 23 } }],
    ["has nothing to do", "signed-in-already", {}, { code: "tool-ended", hint: expect.stringMatching(/already/) }],
    ["opens without PKCE", "no-pkce", {}, { code: "url-no-pkce" }],
    [
      "refuses the callback",
      "xdg-open",
      { browse: async (request) => ({ ...(await signsIn(request)), target: "/callback?code=x&state=forged" }) },
      { code: "tool-ended", context: { toolExitCode: 9 } },
    ],
  ])("a tool that %s is a clear failure, and the session is destroyed", async (_what, how, options, error) => {
    await expect(run(recipeOf(how), options)).rejects.toMatchObject(error);
    expect(fake.destroyed).toEqual(["ses_fake"]);
    expect(names()).not.toContain("signed-in");
  });

  test("a box sealed for another key is refused, and nothing is replayed", async () => {
    const { publicKey } = await createRecipient();
    await expect(run(recipeOf("xdg-open"), { sealFor: publicKey })).rejects.toMatchObject({ code: "box-refused" });
    expect(existsSync(wire)).toBe(false);
  });

  test("an address of another host is refused on this side, whatever the controller thinks of it", async () => {
    const recipe = recipeOf("xdg-open", { hosts: ["login.example.org"] });
    await expect(run(recipe, { isGullible: true })).rejects.toMatchObject({ code: "url-host-not-listed" });
    expect(fake.opened).toEqual([]);
  });

  test.each<[string, Partial<CaughtRequest>]>([
    ["another path", { target: "/settings?delete=all" }],
    ["another host", { rawHeaders: ["Host", "evil.test"] }],
    ["another method", { method: "DELETE" }],
    ["a header that frames anew", { rawHeaders: ["Host", "localhost:1", "Transfer-Encoding", "chunked"] }],
  ])("what the guest caught goes to the tool only as a redirect to it: not with %s", async (_what, odd) => {
    const browse: FakeControllerOptions["browse"] = async (request) => ({ ...(await signsIn(request)), ...odd });
    await expect(run(recipeOf("xdg-open"), { browse })).rejects.toMatchObject({ code: "callback-refused" });
    expect(existsSync(wire)).toBe(false);
    expect(fake.answers.map(({ status }) => status)).toEqual([502]);
  });

  test("a link to another origin is not shown, no tool is started, and the session is destroyed", async () => {
    const links = { receipt: "https://viewer.test@evil.test/receipt" };
    await expect(run(recipeOf("xdg-open"), { links })).rejects.toMatchObject({ code: "link-foreign" });
    expect(names()).toEqual(["destroyed"]);
    expect(fake.destroyed).toEqual(["ses_fake"]);
  });

  test("a tool that is not installed is known before any session is started", async () => {
    await expect(run(recipeOf("x", { command: ["no-such-tool"] }))).rejects.toMatchObject({ code: "tool-missing" });
    expect(events).toEqual([]);
  });

  test("a session that fails while starting gives its verdict", async () => {
    const verdict = {
      code: "guest-unreachable",
      sentence: "The guest did not answer.",
      hint: "See the console.",
      evidence: ["eth0: no carrier"],
      stage: "reachable" as const,
      at: new Date().toISOString(),
      consequences: [],
      ruledOut: [],
      anchor: null,
    };
    const change: FakeControllerOptions["change"] = (view) => ({ ...view, state: "failed", verdict });
    await expect(run(recipeOf("xdg-open"), { change })).rejects.toMatchObject({
      code: "guest-unreachable",
      message: "The guest did not answer.",
      context: { evidence: ["eth0: no carrier"] },
    });
    expect(names()).toEqual(["started", "destroyed"]);
  });

  test("a session that is destroyed under way ends the tool", async () => {
    const browse: FakeControllerOptions["browse"] = async () => {
      fake.view = { ...fake.view, state: "destroyed" };
      fake.publish();
      return undefined;
    };
    await expect(run(recipeOf("xdg-open"), { browse })).rejects.toMatchObject({ code: "session-destroyed" });
  });

  test("an interrupt destroys the session, and leaves neither tool nor shim", async () => {
    const interrupt = new AbortController();
    const browse: FakeControllerOptions["browse"] = async () => {
      interrupt.abort(new Error("Ctrl-C"));
      return undefined;
    };
    await expect(run(recipeOf("xdg-open"), { browse }, interrupt.signal)).rejects.toThrow("Ctrl-C");
    expect(fake.destroyed).toEqual(["ses_fake"]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("open", () => {
  test("opens no page of another host, whatever the controller thinks of it", async () => {
    const device = { mode: "open", command: [process.execPath, fixture("device-tool.mjs")] };
    const env = { FAKE_TOOL_DONE: join(folder, "done") };
    const recipe = recipeOf("", { ...device, env, hosts: ["login.example.org"] });
    // What is printed is not even tried: the shim's address is the one that is judged.
    await expect(run(recipe, { isGullible: true })).rejects.toMatchObject({ code: "url-host-not-listed" });
    expect(fake.opened).toEqual([]);
  });

  test("opens the page, and ends when the tool does", async () => {
    const done = join(folder, "done");
    const recipe = recipeOf("", {
      mode: "open",
      command: [process.execPath, fixture("device-tool.mjs")],
      env: { FAKE_TOOL_DONE: done },
    });
    await run(recipe, {
      browse: async () => {
        writeFileSync(done, "");
        return undefined;
      },
    });
    expect(fake.opened).toEqual([{ url: "https://login.example.com/device" }]);
    expect(names()).toEqual(["started", "ready", "active", "tool-started", "opened", "signed-in", "destroyed"]);
  });
});
