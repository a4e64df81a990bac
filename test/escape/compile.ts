/** The program that tries, made once; a machine without a compiler has it carried in with the checkout. */
import { access, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../../src/lib/exec.ts";
import { packageRoot } from "../../src/lib/paths.ts";
import { findProgram, SYSTEM_PATH } from "../../src/lib/programs.ts";

const SOURCES = ["escape", "files", "processes", "sockets", "kernel", "bounds", "victim"];

/** Its path. Static, so that it runs where there are no libraries. A jailer wants `firecracker` in its program's name. */
export const compileEscape = async (): Promise<string> => {
  const program = join(packageRoot(), "dist/test/firecracker-escape");
  const gcc = findProgram("gcc", SYSTEM_PATH);
  if (gcc === undefined) {
    await access(program).catch((cause: unknown) => {
      throw new Error("The program that tries to escape is missing, and gcc, which makes it, too.", { cause });
    });
    return program;
  }
  await mkdir(dirname(program), { recursive: true });
  const sources = SOURCES.map((name) => join(packageRoot(), "test/escape", `${name}.c`));
  await run(gcc, ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, ...sources], { timeoutMs: 60_000 });
  return program;
};
