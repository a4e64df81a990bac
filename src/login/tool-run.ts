/** What the modes `relay` and `open` share: run the tool behind the browser shim and learn which page it wants. */
import type { ProviderRecipe } from "../contract/provider.ts";
import { AppError } from "../lib/errors.ts";
import { findProgram } from "../lib/programs.ts";
import { isDeadline, poll } from "../lib/wait.ts";
import type { FlowResult, Report } from "./flow.ts";
import { createShim, type Shim } from "./shim.ts";
import { startTool, toolMissing, type Tool } from "./tool.ts";
import { acceptableUrls } from "../handover/url-check.ts";

export type ToolRecipe = Extract<ProviderRecipe, { command: string[] }>;

export interface ToolFlowOptions {
  recipe: ToolRecipe;
  env: Record<string, string | undefined>;
  isInteractive: boolean;
  signal: AbortSignal;
}

export interface ToolRun {
  /** The address that the tool wants opened; throws AppError `tool-ended`, `tool-opened-nothing`. Not yet checked. */
  url: () => Promise<string>;
  exited: Promise<number>;
}

/** A person may have to answer the tool's questions before it opens anything. */
const URL_TIMEOUT_MS = 120_000;

/** How long a printed address waits for the shim's: terminals and tools wrap and cut what they print. */
const PRINTED_AFTER_MS = 2000;

const MAX_SCANNED = 64 * 1024;

/** Whether the program is there is known before a machine is started for it. Throws AppError `tool-missing`. */
export const requireTool = ({ recipe, env }: ToolFlowOptions): void => {
  const [file = ""] = recipe.command;
  if (findProgram(file, env.PATH ?? "") === undefined) throw toolMissing(file);
};

/** Runs the tool while `use` does; however that ends, the tool is ended and its shim removed. */
export const withTool = async (
  options: ToolFlowOptions,
  report: Report,
  use: (run: ToolRun) => Promise<FlowResult>,
): Promise<FlowResult> => {
  const { recipe, env } = options;
  const shim = await createShim(env.PATH ?? "");
  try {
    let printed = "";
    const tool = await startTool({
      command: recipe.command,
      env: { ...env, ...recipe.env, ...shim.env },
      isInteractive: options.isInteractive,
      onOutput: (stream, text) => {
        printed = (printed + text).slice(-MAX_SCANNED);
        report({ event: "tool-output", stream, text });
      },
    });
    report({ event: "tool-started", command: recipe.command });
    try {
      return await use({ exited: tool.exited, url: () => firstUrl(options, shim, tool, () => printed) });
    } finally {
      await tool.stop();
    }
  } finally {
    await shim.remove();
  }
};

const firstUrl = async ({ recipe, signal }: ToolFlowOptions, shim: Shim, tool: Tool, printed: () => string) => {
  let exitCode: number | undefined;
  void tool.exited.then((code) => (exitCode = code));
  let seen: { url: string; at: number } | undefined;

  const ask = async (): Promise<string | undefined> => {
    // Read before the shim is asked: what a tool handed over before it ended counts.
    const endedWith = exitCode;
    const handed = await shim.url();
    if (handed !== undefined) return handed;
    const [url] = acceptableUrls(`${printed()}${endedWith === undefined ? "" : "\n"}`, recipe);
    if (url !== undefined) seen ??= { url, at: performance.now() };
    if (seen && (endedWith !== undefined || performance.now() - seen.at >= PRINTED_AFTER_MS)) return seen.url;
    if (endedWith !== undefined) throw toolEnded(recipe, endedWith, "without opening a page to sign in at");
    return undefined;
  };

  try {
    return await poll(ask, { what: "the tool's page", timeoutMs: URL_TIMEOUT_MS, intervalMs: 100, signal });
  } catch (error) {
    if (!isDeadline(error)) throw error;
    const sentence = `${recipe.command.join(" ")} neither opened nor printed a page of ${recipe.title} within ${URL_TIMEOUT_MS / 1000} s.`;
    throw new AppError("timeout", "tool-opened-nothing", sentence, {
      hint: "See what it printed above: it may wait for an answer, or need other arguments (--recipe FILE).",
      cause: error,
    });
  }
};

/** The tool's end as an error. With a code of its own that becomes ours. */
export const toolEnded = (recipe: ToolRecipe, exitCode: number, when: string): AppError => {
  const command = recipe.command.join(" ");
  const ending = exitCode === 0 ? `${command} ended ${when}.` : `${command} ended with code ${exitCode} ${when}.`;
  return new AppError("conflict", "tool-ended", ending, {
    hint:
      exitCode === 0
        ? "It may be signed in already: sign it out first if you want another account."
        : "See what it printed above.",
    context: { toolExitCode: exitCode },
  });
};
