import { Command } from "commander";
import { expect, test } from "vitest";
import type { ReapResponse } from "../../contract/api.ts";
import type { CliContext } from "../context.ts";
import { addReap } from "./reap.ts";

const said = async (result: ReapResponse, ...args: string[]) => {
  let lines: unknown;
  const context = {
    exitCode: 0,
    client: () => ({ reap: async () => result }),
    out: { result: (_result: unknown, text: () => unknown) => (lines = text()) },
  };
  const program = new Command();
  addReap(program, context as unknown as CliContext);
  await program.parseAsync(["reap", ...args], { from: "user" });
  return { lines, exitCode: context.exitCode };
};

test("what would not go is said with its reason, and the command fails", async () => {
  const result = { found: ["TAP sp-a", "lease 10.0.0.2"], removed: ["lease 10.0.0.2"], failed: ["TAP sp-a: busy"] };
  expect(await said(result)).toEqual({
    lines: ["removed  lease 10.0.0.2", "left over, could not be removed  TAP sp-a: busy"],
    exitCode: 6,
  });
});

test("what would be removed is only said", async () => {
  const result = { found: ["TAP sp-a"], removed: [], failed: [] };
  expect(await said(result, "--dry-run")).toEqual({ lines: ["left over  TAP sp-a"], exitCode: 0 });
});
