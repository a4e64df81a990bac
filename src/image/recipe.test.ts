import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadRecipe, parseRecipe, recipeDigest } from "./recipe.ts";

const [firstCertificate = "", secondCertificate = ""] = rootCertificates;

describe("parseRecipe", () => {
  test("an empty file is the built-in recipe", () => {
    expect(parseRecipe("", "r")).toMatchObject({
      base: "debian:trixie",
      packages: [],
      screen: { width: 1280, height: 800 },
    });
  });

  test("YAML and JSON say the same", () => {
    const yaml = "base: ubuntu:noble\npackages: [vim]\ncommands: [[touch, /x]]\nscreen: {width: 1024, height: 768}\n";
    expect(parseRecipe(yaml, "r")).toEqual(
      parseRecipe(
        '{"base":"ubuntu:noble","packages":["vim"],"commands":[["touch","/x"]],"screen":{"width":1024,"height":768}}',
        "r",
      ),
    );
  });

  test.each([
    ["an unknown field", "pakages: []", /pakages/],
    ["an unknown field of a file", "files: [{path: /a, content: x, owner: me}]", /files\.0: .*owner/],
    ["an unknown base", "base: fedora:42", /base: must be debian:<suite>/],
    ["a base that is a path", "base: debian:../../etc", /base: /],
    ["a relative path", "files: [{path: etc/x, content: x}]", /files\.0\.path: must be an absolute path/],
    ["a path that climbs", "files: [{path: /etc/../x, content: x}]", /files\.0\.path: must not contain/],
    ["a folder", "files: [{path: /etc/, content: x}]", /files\.0\.path: must not contain/],
    ["content and source", "files: [{path: /x, content: x, source: y}]", /files\.0: needs either/],
    ["neither content nor source", "files: [{path: /x}]", /files\.0: needs either/],
    [
      "a mode without quotes",
      "files: [{path: /x, content: x, mode: 0755}]",
      /files\.0\.mode: must be an octal number in quotes/,
    ],
    ["a mode that is not octal", "files: [{path: /x, content: x, mode: '0799'}]", /files\.0\.mode: must be octal/],
    ["an option for a package", "packages: ['--option']", /packages\.0: must be a package name/],
    ["a command that is a line", "commands: ['touch /x']", /commands\.0: /],
    ["an empty command", "commands: [[]]", /commands\.0: /],
    ["a screen too small", "screen: {width: 10, height: 10}", /screen\.width: /],
    ["no YAML", "a: [", /r is not valid/],
    ["a list", "[1]", /recipe: /],
  ])("refuses %s, naming it", (_what, text, sentence) => {
    expect(() => parseRecipe(text, "r")).toThrow(
      expect.objectContaining({ code: "bad-recipe", message: expect.stringMatching(sentence) }),
    );
  });
});

describe("loadRecipe", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sallyport-recipe-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const load = async (text: string, others: Record<string, string> = {}) => {
    for (const [name, content] of Object.entries(others)) await writeFile(join(folder, name), content);
    await writeFile(join(folder, "recipe.yaml"), text);
    return loadRecipe(join(folder, "recipe.yaml"));
  };

  test("reads sources relative to the recipe", async () => {
    const recipe = await load("files: [{path: /a, source: a.txt, mode: '0755'}, {path: /b, content: hey}]", {
      "a.txt": "from a file",
    });
    expect(recipe.files).toEqual([
      { path: "/a", content: Buffer.from("from a file"), mode: 0o755 },
      { path: "/b", content: Buffer.from("hey"), mode: 0o644 },
    ]);
  });

  test("names a source that is not there", async () => {
    await expect(load("files: [{path: /a, source: gone.txt}]")).rejects.toMatchObject({
      code: "recipe-unreadable",
      message: expect.stringContaining("gone.txt"),
    });
  });

  test("splits a bundle into its certificates, from a file or from the text itself", async () => {
    const text = `caCertificates:\n  - ca.pem\n  - ${JSON.stringify(firstCertificate)}\n`;
    const { caCertificates } = await load(text, { "ca.pem": `# two\n${firstCertificate}\n${secondCertificate}` });
    const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;
    expect(caCertificates.map(fingerprint)).toEqual(
      [firstCertificate, secondCertificate, firstCertificate].map(fingerprint),
    );
  });

  test.each([
    ["no certificate", "hello", "holds no PEM certificate"],
    [
      "a broken certificate",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      "is no readable certificate",
    ],
  ])("refuses %s, naming the field", async (_what, content, sentence) => {
    await expect(load("caCertificates: [ca.pem]", { "ca.pem": content })).rejects.toMatchObject({
      code: "bad-recipe",
      message: expect.stringContaining(`caCertificates.0: ${sentence}`),
    });
  });

  test("the digest knows contents, not names of sources", async () => {
    const a = recipeDigest(await load("files: [{path: /a, source: a.txt}]", { "a.txt": "same" }));
    const b = recipeDigest(await load("files: [{path: /a, content: same}]"));
    const c = recipeDigest(await load("files: [{path: /a, source: a.txt}]", { "a.txt": "other" }));
    expect(b).toBe(a);
    expect(c).not.toBe(a);
  });
});
