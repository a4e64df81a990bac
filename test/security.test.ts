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

test("docs/SECURITY.md lists what an escape tries, in the words and the order of the program that does", () => {
  const listed = readFileSync("docs/SECURITY.md", "utf8")
    .split("## What an escape finds")[1]
    ?.split("\n## ")[0]
    ?.split("\n")
    .flatMap((line) => /^\| (.+?) \| .+ \|$/.exec(line)?.[1] ?? [])
    .slice(1);
  const tried = ["files", "processes", "sockets", "kernel", "bounds"].flatMap((name) =>
    [...readFileSync(`test/escape/${name}.c`, "utf8").matchAll(/^ {4}\{"(.+)", \w+\},$/gm)].map(([, title]) => title),
  );
  expect(tried.length).toBeGreaterThan(40);
  expect(listed).toEqual(tried);
});
