/** A console's facts from its file: each look reads what is new since the last one, and no more than may be read of a guest. */
import type { ConsoleFacts } from "../contract/diagnosis.ts";
import { createCostBudget } from "../lib/cost-budget.ts";
import { openIfThere } from "../lib/open-if-there.ts";
import { consoleEnd, readPiece } from "../vmm/console-follow.ts";
import { createConsoleParser, noConsole } from "./console-facts.ts";

export type ConsoleReader = ReturnType<typeof createConsoleReader>;

/** Of 64 KiB: a whole console on the first look, later what a guest that behaves never writes in the meantime. */
const FIRST_PIECES = 16;
const LATER_PIECES = 4;

/** A guest that writes faster than it may be read loses the middle: of what is new the end is always looked at. */
export const createConsoleReader = (file: string, budget = createCostBudget()) => {
  const parser = createConsoleParser();
  const decoder = new TextDecoder();
  let offset = 0;

  return {
    /** Of a file that is not there: as of one that was never written. One at a time. */
    look: async (): Promise<ConsoleFacts> => {
      const handle = await openIfThere(file);
      if (!handle) return noConsole();
      try {
        let left = budget.waitMs > 0 ? 0 : offset === 0 ? FIRST_PIECES : LATER_PIECES;
        while (left-- > 0) {
          const { bytes, next } = await readPiece(handle, offset);
          if (next === offset) break;
          offset = next;
          budget.spend(() => parser.push(decoder.decode(bytes, { stream: true })));
          if (left > 1 && budget.waitMs > 0) left = 1;
          if (left === 1) offset = Math.max(offset, await consoleEnd(handle));
        }
        const { size, mtimeMs } = await handle.stat();
        return parser.facts(size, Math.max(0, Math.round((Date.now() - mtimeMs) / 1000)));
      } finally {
        await handle.close();
      }
    },
  };
};
