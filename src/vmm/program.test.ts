import { expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { askProgram } from "./program.ts";

const failing = (error: Error) => askProgram("vmm", "Get it.", Promise.reject(error));
const system = (code: string) => Object.assign(new Error(`spawn ${code}`), { code });

test.each(["ETXTBSY", "EACCES", "ENOENT", "ENOTDIR", "ELOOP", "EIO"])(
  "%s of a program that is exchanged or may not be run is that the VMM is missing",
  async (code) => {
    await expect(failing(system(code))).rejects.toMatchObject({
      kind: "unavailable",
      code: "vmm-missing",
      message: `The program vmm cannot be run: spawn ${code}`,
      hint: "If it is being put into its place just now, try again in a moment. Get it.",
    });
  },
);

test.each(["command-missing", "command-timeout", "command-failed"])("so is %s", async (code) => {
  await expect(failing(new AppError("internal", code, "It hangs."))).rejects.toMatchObject({ code: "vmm-missing" });
});

test("what is the host's matter, ours, or has words of its own stays as it is", async () => {
  const own = new AppError("forbidden", "program-unguarded", "It is not run.");
  for (const error of [system("EMFILE"), system("ENOMEM"), new TypeError("x is undefined"), own]) {
    await expect(failing(error)).rejects.toBe(error);
  }
  expect(await askProgram("vmm", "Get it.", Promise.resolve("1.0"))).toBe("1.0");
});
