/** The console's stream over the real API: as it grows, over what is cut out of it, at its reader's speed, to its end. */
import { once } from "node:events";
import { appendFile, stat } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/cli.ts";
import type { TextSink } from "../../src/cli/output.ts";
import { readEnv } from "../../src/config/env.ts";
import { poll } from "../../src/lib/wait.ts";
import { CONSOLE_LIMIT_BYTES } from "../../src/vmm/console.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const MIB = 1024 * 1024;

let controller: TestController;
beforeAll(async () => {
  controller = await startController({ behaviour: () => ({ console: "first words\n" }) });
});
afterAll(() => controller.dispose());

const startReady = async (): Promise<{ sessionId: string; file: string }> => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) {
    if (view.state === "ready") return { sessionId, file: controller.paths.vm(view.vmId ?? "").console };
  }
  throw new Error("the session never became ready");
};

/** A place for the program's words. */
const collect =
  (shown: { text: string }): TextSink["write"] =>
  (text, done) => {
    shown.text += text;
    done?.();
  };

const cli = (args: string[], isTTY: boolean) => {
  const interrupt = new AbortController();
  const shown = { text: "" };
  const code = runCli(args, {
    env: { ...readEnv(), url: controller.url, key: controller.adminKey },
    signal: interrupt.signal,
    stdout: { isTTY, write: collect(shown) },
    stderr: { write: collect({ text: "" }) },
    isTerminal: false,
  });
  return { code, shown, interrupt };
};

const until = (isTrue: () => boolean, what: string): Promise<true> =>
  poll(async () => (isTrue() ? true : undefined), { what, timeoutMs: 15_000, intervalMs: 50 });

describe("following the console", () => {
  test("shows what comes and ends with the session, with its last words", async () => {
    const { sessionId, file } = await startReady();
    const pieces = controller.client.followConsole(sessionId);
    expect((await pieces.next()).value).toBe("first words\n");
    await appendFile(file, "more\n");
    expect((await pieces.next()).value).toBe("more\n");
    let rest = "";
    const reading = (async () => {
      for await (const piece of pieces) rest += piece;
    })();
    await appendFile(file, "last words\n");
    await controller.client.destroy(sessionId);
    await reading;
    expect(rest).toBe("last words\n");

    let kept = "";
    for await (const piece of controller.client.followConsole(sessionId)) kept += piece;
    expect(kept).toBe("first words\nmore\nlast words\n");
  });

  test("a reader who does not read holds nothing up: it finds the gap marked, and no more than the file ever held", async () => {
    const { sessionId, file } = await startReady();
    const reader = request({
      socketPath: controller.url.slice("unix:".length),
      path: `/api/auth/session/${sessionId}/console?follow=true`,
      headers: { authorization: `Bearer ${controller.adminKey}` },
    });
    reader.end();
    const [response] = (await once(reader, "response")) as [IncomingMessage];
    for (let i = 0; i < 8; i++) {
      await appendFile(file, `${"x".repeat(1023)}\n`.repeat(MIB / 1024));
      await sleep(0);
    }
    await appendFile(file, "the end\n");
    await poll(async () => ((await stat(file)).size < CONSOLE_LIMIT_BYTES ? true : undefined), {
      what: "the controller to cut the console",
      timeoutMs: 15_000,
      intervalMs: 100,
    });
    expect((await controller.client.session(sessionId)).state).toBe("ready");
    let text = "";
    response.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    await until(() => text.includes("the end\n"), "the end of the console");
    expect(text.length).toBeLessThan(4 * MIB);
    expect(text).toMatch(/\n\[sallyport: at least \d{7,} bytes cut out here\]\n/);
    await controller.client.destroy(sessionId);
    await once(response, "end");
  });

  test("a terminal gets colours and no other sequence, a pipe and --json none; Ctrl-C gives the terminal its own back", async () => {
    const { sessionId, file } = await startReady();
    const hostile = "\u001b[0;31mred\u001b[2J\u001b]52;c;cm0gLXJmIH4K\u0007\u001b]0;title\u001b\\\u001b[6n end\n";
    const terminal = cli(["console", sessionId, "-f"], true);
    const pipe = cli(["console", sessionId, "-f"], false);
    const json = cli(["console", sessionId, "-f", "--json"], false);
    await until(() => [terminal, pipe, json].every(({ shown }) => shown.text !== ""), "the first words");
    // A sequence that comes in two looks is one sequence all the same.
    await appendFile(file, hostile.slice(0, 20));
    await sleep(400);
    await appendFile(file, hostile.slice(20));
    await until(() => [terminal, pipe, json].every(({ shown }) => shown.text.includes(" end")), "the hostile line");
    terminal.interrupt.abort();
    expect(await terminal.code).toBe(130);
    expect(terminal.shown.text).toBe("first words\n\u001b[0;31mred end\n\u001b[0m");
    await controller.client.destroy(sessionId);
    expect(await pipe.code).toBe(0);
    expect(pipe.shown.text).toBe("first words\nred end\n");
    const texts = (await json.code, json.shown.text.trim().split("\n")).map(
      (line) => (JSON.parse(line) as { console: string }).console,
    );
    expect(texts.join("")).toBe("first words\nred end\n");

    const once_ = cli(["console", sessionId, "--json"], true);
    expect(await once_.code).toBe(0);
    expect(JSON.parse(once_.shown.text)).toEqual({ sessionId, console: "first words\nred end\n" });
  });
});
