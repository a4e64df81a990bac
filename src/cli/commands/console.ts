import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Client } from "../../client/client.ts";
import type { CliContext } from "../context.ts";
import { plain } from "../output.ts";

/** Milliseconds between two looks with -f. */
const FOLLOW_MS = 1000;

/** Enough of the end of what was shown to find the place again after the controller has cut the beginning off. */
const ANCHOR = 4096;

export const addConsole = (program: Command, context: CliContext): void => {
  program
    .command("console <session>")
    .description("print the guest's console")
    .option("-f, --follow", "go on until the session is over")
    .action(async (sessionId: string, options: { follow?: boolean }) => {
      const client = context.client();
      if (options.follow) return follow(client, sessionId, context);
      const text = await client.console(sessionId);
      if (context.isJson()) context.out.result({ sessionId, console: text }, () => "");
      else context.stdout.write(plain(text));
      return undefined;
    });
};

const follow = async (client: Client, sessionId: string, context: CliContext): Promise<void> => {
  let shown = "";
  for (;;) {
    // In this order: what was written before the session ended is still shown.
    const { state } = await client.session(sessionId);
    const text = await client.console(sessionId);
    const added = after(text, shown);
    if (added && context.isJson()) context.out.jsonLine({ sessionId, console: added });
    else context.stdout.write(plain(added));
    shown = text;
    if (["failed", "destroyed", "lost"].includes(state)) return;
    await sleep(FOLLOW_MS, undefined, { signal: context.signal });
  }
};

/** What `text` has that was not shown yet. */
export const after = (text: string, shown: string): string => {
  if (text.startsWith(shown)) return text.slice(shown.length);
  const anchor = shown.slice(-ANCHOR);
  const at = text.lastIndexOf(anchor);
  return at < 0 ? text : text.slice(at + anchor.length);
};
