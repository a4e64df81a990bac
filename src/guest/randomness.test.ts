/** A process that is copied has its random generators copied. So the agent uses none, and this finds one that somebody brings in. */
import { build } from "esbuild";
import { expect, test } from "vitest";

/** Everything in Node and its libraries that gives random values or keys. */
const GENERATORS =
  /randomUUID|randomBytes|randomInt|randomFill|getRandomValues|Math\.random|generateKey|generatePrime|createECDH|createDiffieHellman/;

/** Lines of libraries that the agent carries and does not use. */
const UNUSED = [
  // zod: a helper for its own tests.
  "str += chars[Math.floor(Math.random() * chars.length)];",
  // hpke: replaced for who seals, in handover/sealing.ts.
  '(c) => c.generateKey(this.algorithm, extractable, ["deriveBits"]),',
];

test("the agent, with all its libraries, uses no random generator of its own process", async () => {
  const { outputFiles } = await build({
    entryPoints: ["src/guest/main.ts"],
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    write: false,
  });
  const lines = (outputFiles[0]?.text ?? "").split("\n").map((line) => line.trim());
  expect(lines.length).toBeGreaterThan(1000);
  expect(lines.filter((line) => GENERATORS.test(line)).toSorted()).toEqual(UNUSED.toSorted());
});
