/** What a controller or a guest says never steers the terminal, whichever way it gets there. */
import { expect, test } from "vitest";
import { providerRecipe } from "../contract/provider.ts";
import { AppError } from "../lib/errors.ts";
import type { LoginEvent } from "../login/login.ts";
import type { CliContext } from "./context.ts";
import { printError } from "./failure.ts";
import { createOutput, duration, table } from "./output.ts";
import { showLogin } from "./show-login.ts";

/** Title, clipboard, colour, an 8-bit sequence, a return over the line, the direction of writing. */
const HOSTILE = "a\u001b]0;title\u0007b\u001b]52;c;eA==\u001b\\c\u001b[31md\u009b2Je\rf\u202eg";
const CONTROL = /(?!\n)[\p{Cc}\p{Cf}\u2028\u2029]/u;

const collect = (isJson = false) => {
  let text = "";
  const sink = { write: (piece: string) => (text += piece) };
  const out = createOutput({ stdout: sink, stderr: sink, isJson: () => isJson });
  return { out, text: () => text, context: { out, stderr: sink, isJson: () => isJson } as unknown as CliContext };
};

test.each<[string, (to: ReturnType<typeof collect>) => void]>([
  ["progress", ({ out }) => out.note(HOSTILE)],
  ["a line", ({ out }) => out.line(HOSTILE)],
  ["a result", ({ out }) => out.result(null, () => [HOSTILE])],
  ["a table", ({ out }) => out.result(null, () => table(["A"], [[HOSTILE]]))],
  ["an error", ({ context }) => printError(errorOf(HOSTILE), context)],
])("%s is shown without control characters", (_what, show) => {
  const shown = collect();
  show(shown);
  expect(shown.text()).not.toMatch(CONTROL);
  expect(shown.text()).toMatch(/abcde\s?fg/);
});

test("JSON says the same with its own escapes, so that a terminal obeys none of it", () => {
  const shown = collect(true);
  shown.out.jsonLine({ said: HOSTILE });
  shown.out.result([{ said: HOSTILE }], () => "");
  printError(errorOf(HOSTILE), shown.context);
  expect(shown.text()).not.toMatch(CONTROL);
  expect(JSON.parse(shown.text().split("\n")[0] ?? "")).toEqual({ said: HOSTILE });
});

test("every line of a sign-in's progress is filtered; only the person's own tool writes as it is", () => {
  const recipe = providerRecipe.parse({ name: "oidc", title: HOSTILE, mode: "oidc" });
  const common = { ms: 1, code: HOSTILE, sentence: HOSTILE, hint: HOSTILE, url: HOSTILE };
  const started = { sessionId: HOSTILE, userId: HOSTILE, novncURL: HOSTILE, pairingCode: HOSTILE, keyFingerprint: "" };
  const receipt = { body: { gone: [] } };
  const names = ["started", "stage", "warning", "warning-over", "wrong-code", "ready", "active", "opened", "caught"];
  const more = ["answer-failed", "signed-in", "destroyed", "destroy-failed", "tool-started"];
  const shown = collect();
  const show = showLogin(recipe, shown.context);
  for (const event of [...names, ...more]) {
    const fields = { ...common, ...started, event, stage: HOSTILE, durationMs: 1, count: 1, receipt };
    show({ ...fields, expiresAt: HOSTILE, command: [HOSTILE] } as unknown as LoginEvent);
  }
  expect(shown.text()).not.toMatch(CONTROL);
  show({ ms: 1, event: "tool-output", stream: "stdout", text: "\u001b[1mtool" });
  expect(shown.text().endsWith("\u001b[1mtool")).toBe(true);
});

test("a time that passed is never negative, whatever was done to the clock", () => {
  expect([-40 * 86_400_000, -1, 0, 90_000].map(duration)).toEqual(["0.0 s", "0.0 s", "0.0 s", "1 min 30 s"]);
});

const errorOf = (text: string): AppError =>
  new AppError("conflict", "x", text, { hint: text, fields: [text], context: { evidence: [text] } });
