/** Mode `relay`: the tool keeps its verifier, its state and its listener; only the sealed callback comes out of the VM. */
import type { CallbackAnswer } from "../contract/guest.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { checkCaught } from "./caught-check.ts";
import type { Flow, FlowResult, Report } from "./flow.ts";
import type { CaughtCallback, RemoteSession } from "./remote-session.ts";
import { page, replay } from "./replay.ts";
import { requireTool, toolEnded, withTool, type ToolFlowOptions, type ToolRecipe } from "./tool-run.ts";
import { checkAuthorizeUrl, type Callback } from "../handover/url-check.ts";

/** For the exchange of the code, on a slow line. */
const EXIT_TIMEOUT_MS = 120_000;

export const prepareRelay = async (options: ToolFlowOptions): Promise<Flow> => {
  requireTool(options);
  return (session, report) =>
    withTool(options, report, async ({ url, exited }) => {
      const wanted = await Promise.race([url(), session.ended()]);
      const callback = await openInGuest(wanted, options.recipe, session, report);
      if (callback === null) throw new Error(`mode ${options.recipe.mode} has no callback`);
      const first = await Promise.race([session.caught(), exited]);
      if (typeof first === "number") return finished(options.recipe, first, "before the browser came back");
      report({ event: "caught" });
      await playBack(first, callback, options.signal, report);
      return finished(options.recipe, await exitOf(exited, options), "after it had got the callback");
    });
};

/** Checks the address and sends the guest's browser there. Where it will be sent back to; null in mode `open`. */
export const openInGuest = async (wanted: string, recipe: ProviderRecipe, session: RemoteSession, report: Report) => {
  const { url, callback } = checkAuthorizeUrl(wanted, recipe);
  await session.open(callback ? { url, callback } : { url });
  // Without the query: its state and challenge are nobody's business.
  report({ event: "opened", url: new URL(url).origin });
  return callback;
};

const playBack = async (caught: CaughtCallback, callback: Callback, signal: AbortSignal, report: Report) => {
  const { request, answer } = caught;
  let reply;
  try {
    checkCaught(request, callback);
    reply = await replay(request, { port: callback.port, signal });
  } catch (error) {
    await tryAnswer(answer, page(502, "The tool could not be reached. See the terminal."), report);
    throw error;
  }
  await tryAnswer(answer, reply, report);
};

/** The tool has the callback by now: that the browser misses its page is told, and does not undo the sign-in. */
export const tryAnswer = async (answer: CaughtCallback["answer"], reply: CallbackAnswer, report: Report) => {
  try {
    await answer(reply);
  } catch (error) {
    report({ event: "answer-failed", ...inWords(error) });
  }
};

export const inWords = (error: unknown): { code: string; sentence: string } => ({
  code: error instanceof AppError ? error.code : "internal",
  sentence: messageOf(error),
});

const exitOf = async (exited: Promise<number>, { recipe, signal }: ToolFlowOptions): Promise<number> => {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(EXIT_TIMEOUT_MS)]);
  const isOver = new Promise<undefined>((resolve) => deadline.addEventListener("abort", () => resolve(undefined)));
  const exitCode = await Promise.race([exited, isOver]);
  signal.throwIfAborted();
  if (exitCode !== undefined) return exitCode;
  const sentence = `${recipe.command.join(" ")} got the callback and was still running ${EXIT_TIMEOUT_MS / 1000} s later; it was ended.`;
  throw new AppError("timeout", "tool-did-not-finish", sentence, {
    hint: "It may be signed in all the same: ask the tool itself.",
  });
};

/** The tool's own word on whether it is signed in. A code pasted into it by hand counts as well as a callback. */
export const finished = (recipe: ToolRecipe, exitCode: number, when: string): FlowResult => {
  if (exitCode !== 0) throw toolEnded(recipe, exitCode, when);
  return { account: null, credential: recipe.credential ?? null };
};
