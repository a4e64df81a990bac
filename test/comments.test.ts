import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { commentsOf, deadMentions } from "./comments.ts";

const FOLDERS = ["src", "rig", "scripts", "bin", "web", "test", "docs", "providers"];
const TOP = ["README.md", "AGENTS.md", "STYLE.md", "package.json", "vitest.config.ts", "tsconfig.json"];

const paths = new Set([
  ...FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`),
  ),
  ...TOP,
  // History: it names what was.
  "CHANGELOG.md",
]);

test("whatever a comment or a page names is there for its reader", () => {
  const read = [...paths].filter(
    (path) => /\.(ts|mjs|pl|sh|md|service|conf|preset)$/.test(path) && path !== "CHANGELOG.md",
  );
  expect(read.length).toBeGreaterThan(300);
  expect(read.flatMap((path) => deadMentions(path, readFileSync(path, "utf8"), paths))).toEqual([]);
});

const known = new Set(["src/lib/exec.ts", "src/network/tap.ts", "docs/HTTP.md", "docs/adr/0001-one.md"]);

test.each([
  ["// see lib/gone.ts", "names lib/gone.ts"],
  ["/**\n * As tap.ts and bridge.ts say.\n */", "names bridge.ts"],
  ["const a = 1; // docs/NOTHING.md has it", "names docs/NOTHING.md"],
  ["// ports above 1024 (facts: ip_local_port_range)", 'points elsewhere ("(facts:")'],
  ["// the documents' network", 'points elsewhere ("the documents")'],
  ["// as §3.2 asks", 'points elsewhere ("§")'],
])("dead: %s", (text, sentence) => {
  expect(deadMentions("src/network/linux.ts", text, known)).toEqual([expect.stringContaining(sentence)]);
});

test.each([
  "// lib/exec.ts, src/lib/exec.ts, exec.ts, tap.ts, ../lib/exec.ts and docs/HTTP.md",
  'const path = "gone.ts"; // its text',
  "// RFC 9458 §4.4; config.json and console.log are written while it runs",
])("fine: %s", (text) => {
  expect(deadMentions("src/network/linux.ts", text, known)).toEqual([]);
});

test("links of a page lead somewhere, from the page's own folder", () => {
  const page = "[one](adr/0001-one.md#why) [http](HTTP.md) [out](https://a.test/x.md) [all](adr) [no](GONE.md)";
  expect(deadMentions("docs/INDEX.md", page, known)).toEqual(["docs/INDEX.md: links to GONE.md, which is not there"]);
});

test("comments are told from strings", () => {
  expect(commentsOf('const a = "// no"; // yes\n/* and\nthis */ const b = `//no`;\n# unit files')).toEqual([
    "// yes",
    "/* and\nthis */",
    "# unit files",
  ]);
});
