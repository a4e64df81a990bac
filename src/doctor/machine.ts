/** VMMs that may be there and are not used. */
import { findProgram } from "../lib/programs.ts";
import { run } from "../lib/exec.ts";
import { ok, type Check } from "./check.ts";

export const firecracker: Check = {
  name: "firecracker",
  look: async ({ path }) => {
    const file = findProgram("firecracker", path);
    if (file === undefined) return ok("Not installed, and not needed: QEMU runs the microVMs.");
    const { stdout } = await run(file, ["--version"], { timeoutMs: 3_000 });
    return ok(`${stdout.split("\n")[0]?.trim() ?? file}; not used: QEMU runs the microVMs.`);
  },
};
