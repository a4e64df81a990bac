/** A session's console, from its microVM's file while that is there, and from what was kept of it afterwards. */
import { Readable } from "node:stream";
import { readKeptConsole } from "../diagnosis/evidence.ts";
import { openIfThere } from "../lib/open-if-there.ts";
import type { DataPaths } from "../lib/paths.ts";
import { followConsole } from "../vmm/console-follow.ts";
import { consoleSize } from "../vmm/console.ts";

interface ConsoleDeps {
  paths: DataPaths;
  /** The session's microVM, which may be gone. */
  microvmOf: (sessionId: string) => Promise<{ id: string } | undefined>;
  isOver: (sessionId: string) => Promise<boolean>;
}

export const createConsoles = ({ paths, microvmOf, isOver }: ConsoleDeps) => {
  const fileOf = async (id: string): Promise<string | undefined> => {
    const vm = await microvmOf(id);
    return vm && paths.vm(vm.id).console;
  };

  return {
    console: async (id: string): Promise<Readable> => {
      const file = await fileOf(id);
      const handle = file === undefined || (await consoleSize(file)) === 0 ? undefined : await openIfThere(file);
      return handle
        ? handle.createReadStream()
        : Readable.from([(await readKeptConsole(paths, id)) ?? Buffer.alloc(0)]);
    },

    /** What a microVM that is gone already left, or the console of a living one to its last words. */
    followConsole: async function* (id: string, signal: AbortSignal): AsyncGenerator<string> {
      const file = await fileOf(id);
      let isEmpty = true;
      if (file !== undefined) {
        if (!(await isOver(id)) && (await consoleSize(file)) === 0) yield "";
        for await (const piece of followConsole(file, { isOver: () => isOver(id), signal })) {
          isEmpty = false;
          yield piece;
        }
      }
      if (isEmpty) yield (await readKeptConsole(paths, id))?.toString() ?? "";
    },
  };
};
