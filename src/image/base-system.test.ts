import { describe, expect, test } from "vitest";
import { run } from "../lib/exec.ts";
import { baseSystemDigest, baseSystemOf, explainFailure, followPackages, shellWord } from "./base-system.ts";
import { loadRecipe } from "./recipe.ts";

const initramfs = [{ path: "/etc/initramfs-tools/modules", content: Buffer.from("ext4"), mode: 0o644 }];

describe("a base system", () => {
  test("has a digest of its own for all that mmdebstrap would make differently, and for nothing else", async () => {
    const recipe = await loadRecipe();
    const digest = (change: object, files = initramfs): string =>
      baseSystemDigest(baseSystemOf({ ...recipe, ...change }, files));
    const same = digest({});
    expect(digest({ commands: [["true"]], screen: { width: 800, height: 600 } })).toBe(same);
    expect(digest({ packages: ["firefox-esr"] })).toBe(same);
    expect(digest({ packages: ["vim"] })).not.toBe(same);
    expect(digest({ suite: "forky" })).not.toBe(same);
    expect(digest({}, [{ ...initramfs[0]!, content: Buffer.from("xfs") }])).not.toBe(same);
  });
});

describe("followPackages", () => {
  test("counts over both of apt's runs, and says nothing before it knows a total", () => {
    const reports: string[] = [];
    const follow = followPackages((message) => reports.push(message));
    follow("Unpacking too-early (1) ...");
    follow("0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.");
    follow("Get:1 http://a.test trixie/main amd64 a amd64 1 [1 kB]");
    follow("Unpacking a (1) ...");
    follow("0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.");
    follow("Setting up a (1) ...");
    follow("Unpackings are not counted");
    expect(reports).toEqual(["1 of 2 packages downloaded", "2 of 2 packages unpacked", "1 of 3 packages set up"]);
  });
});

describe("explainFailure", () => {
  test.each([
    [
      "E: Unable to locate package nonsense\nE: mmdebstrap failed to run",
      "unknown-package",
      /debian trixie has no package nonsense\./,
    ],
    [
      "Err:1 http://a.test trixie InRelease\n  Could not connect to a.test:80\nE: Failed to fetch",
      "archive-unreachable",
      /Could not connect to a\.test/,
    ],
    ["dpkg: error processing package x (--configure):", "base-system-failed", /error processing package x/],
  ])("%j", (words, code, sentence) => {
    const error = explainFailure("debian trixie", words, undefined);
    expect(error).toMatchObject({ code, message: expect.stringMatching(sentence), hint: expect.any(String) });
  });
});

test.each(["/var/lib/my data/x.tar", "/a;id", "/$(id)`id`", '/it\'s "quoted"', "/a*\\b&|<>"])(
  "a hook's word stays one: %s",
  async (path) => {
    expect((await run("sh", ["-c", `printf %s ${shellWord(path)}`])).stdout).toBe(path);
  },
);
