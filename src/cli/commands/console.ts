import type { Command } from "commander";
import { createTerminalFilter } from "../../lib/terminal.ts";
import type { CliContext } from "../context.ts";
import type { TextSink } from "../output.ts";

export const addConsole = (program: Command, context: CliContext): void => {
  program
    .command("console <session>")
    .description("print the guest's console; colours on a terminal, plain text elsewhere")
    .option("-f, --follow", "go on until the session is over")
    .action(async (sessionId: string, options: { follow?: boolean }) => {
      const client = context.client();
      const pieces = options.follow
        ? client.followConsole(sessionId, context.signal)
        : [await client.console(sessionId)];
      await (context.isJson() ? printJson : print)(sessionId, pieces, context);
    });
};

type Pieces = AsyncIterable<string> | string[];

/** Each piece waits for the one before it: a slow terminal or pipe slows the guest's stream down, not this program's memory up. */
const print = async (_sessionId: string, pieces: Pieces, { stdout }: CliContext): Promise<void> => {
  const filter = createTerminalFilter({ canColour: stdout.isTTY === true });
  try {
    for await (const piece of pieces) if (!(await written(stdout, filter.push(piece)))) return;
  } finally {
    // Also when it is interrupted: the next prompt is not to be in a guest's colours.
    await written(stdout, filter.end());
  }
};

/** One JSON document per piece when it follows, as it comes; text without any sequence. */
const printJson = async (sessionId: string, pieces: Pieces, context: CliContext): Promise<void> => {
  const filter = createTerminalFilter({ canColour: false });
  if (Array.isArray(pieces)) {
    return context.out.result({ sessionId, console: filter.push(pieces.join("")) }, () => "");
  }
  for await (const piece of pieces) {
    const text = filter.push(piece);
    if (text && !(await written(context.stdout, `${JSON.stringify({ sessionId, console: text })}\n`))) return;
  }
};

/** Resolves when the text is out; false when nobody reads any more (`… | head`). */
const written = (sink: TextSink, text: string): Promise<boolean> =>
  text === "" ? Promise.resolve(true) : new Promise((resolve) => sink.write(text, (error) => resolve(!error)));
