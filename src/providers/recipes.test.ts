import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../lib/paths.ts";
import { loadProviders } from "./recipes.ts";

const shipped = join(packageRoot(), "providers");

const folder = (files: Record<string, string>): string => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-providers-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
};

const TOOL = "name: tool\ntitle: Tool\nmode: relay\ncommand: [tool]\nhosts: [a.example]\n";

describe("loadProviders", () => {
  test("ships the documented recipes in their modes", () => {
    const modes = [...loadProviders({ directories: [shipped], overrides: {} }).values()].map((r) => [r.name, r.mode]);
    expect(Object.fromEntries(modes)).toEqual({
      claude_code: "relay",
      codex: "relay",
      gh: "open",
      oidc: "oidc",
      wrangler: "relay",
    });
  });

  test("every shipped recipe says what is better where it works", () => {
    for (const recipe of loadProviders({ directories: [shipped], overrides: {} }).values()) {
      expect(`${recipe.name}: ${recipe.betterWithout ?? ""}`).toMatch(/: \w/);
    }
  });

  test("a later folder replaces, other files and missing folders are ignored", () => {
    const directory = folder({ "tool.yaml": TOOL, "README.md": "no recipe" });
    const later = folder({ "tool.yaml": TOOL.replace("title: Tool", "title: Newer") });
    const recipes = loadProviders({ directories: [directory, "/nonexistent", later], overrides: {} });
    expect([...recipes.values()].map((r) => r.title)).toEqual(["Newer"]);
  });

  test("configuration is laid over a recipe, or is a whole one", () => {
    const recipes = loadProviders({
      directories: [shipped],
      overrides: {
        oidc: { issuer: "https://idp.example", clientId: "cli" },
        corp: { title: "Corp", mode: "open", command: ["corp"], hosts: ["corp.example"] },
      },
    });
    expect(recipes.get("oidc")).toMatchObject({ issuer: "https://idp.example", scopes: ["openid", "profile"] });
    expect(recipes.get("corp")).toMatchObject({ name: "corp", mode: "open" });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["an unknown field", { "tool.yaml": `${TOOL}shell: "rm"\n` }, /tool\.yaml is not valid: shell/],
    ["a bad host", { "tool.yaml": TOOL.replace("a.example", "https://a.example") }, /hosts\.0/],
    ["no mode", { "tool.yaml": TOOL.replace("mode: relay\n", "") }, /mode/],
    ["a name unlike the file's", { "other.yaml": TOOL }, /name: must be other/],
    ["a key twice", { "tool.yaml": `${TOOL}title: Again\n` }, /unique/],
    ["no YAML", { "tool.yaml": "a: [" }, /tool\.yaml is not valid/],
    ["an empty file", { "tool.yaml": "" }, /tool\.yaml is not valid/],
  ])("refuses %s", (_what, files, sentence) => {
    expect(() => loadProviders({ directories: [folder(files)], overrides: {} })).toThrow(
      expect.objectContaining({ code: "provider-invalid", message: expect.stringMatching(sentence) as string }),
    );
  });

  test("refuses an override that is no recipe", () => {
    expect(() => loadProviders({ directories: [], overrides: { x: "y" } })).toThrow(/providers\.x/);
    expect(() => loadProviders({ directories: [], overrides: { x: {} } })).toThrow(/providers\.x/);
  });
});
