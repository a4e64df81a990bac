import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** `| a promise | the test's title | test file |`, below the heading that says which test holds which promise. */
const rows = readFileSync("docs/SECURITY.md", "utf8")
  .split("## Which test holds it")[1]
  ?.split("\n")
  .filter((line) => /^\| .* \| `[^`]*\.ts` \|$/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "").replaceAll("`", "")));

test("every promise of docs/SECURITY.md is held by a test that is there", () => {
  expect(rows?.length).toBeGreaterThan(60);
  const missing = rows?.filter(
    ([, title = "", file = ""]) => !existsSync(file) || !readFileSync(file, "utf8").includes(title),
  );
  expect(missing).toEqual([]);
});
