import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "../lib/exec.ts";
import { createShim, type Shim } from "./shim.ts";

const PATH = process.env.PATH ?? "";
let shim: Shim;

beforeEach(async () => {
  shim = await createShim(PATH);
});
afterEach(() => shim.remove());

const call = (name: string, ...args: string[]) => run("/usr/bin/env", [name, ...args], { env: shim.env, okCodes: [2] });

describe("browser shim", () => {
  test.each(["xdg-open", "x-www-browser"])("%s on the PATH hands the address over", async (name) => {
    expect(await shim.url()).toBeUndefined();
    await call(name, "https://login.example.com/?a=1&b=2");
    expect(await shim.url()).toBe("https://login.example.com/?a=1&b=2");
  });

  test("BROWSER does too, with options in front", async () => {
    await call(shim.env.BROWSER, "--new-window", "https://login.example.com/");
    expect(await shim.url()).toBe("https://login.example.com/");
  });

  test("the first address counts, later ones end well without effect", async () => {
    await call("xdg-open", "https://first.example/");
    expect((await call("xdg-open", "https://second.example/")).exitCode).toBe(0);
    expect(await shim.url()).toBe("https://first.example/");
  });

  test("nothing in an address is run by the shell", async () => {
    const file = join(dirname(shim.env.BROWSER), "run");
    const url = `https://x.example/$(touch ${file})\`touch ${file}\`;touch ${file}%s%n'"`;
    await call("xdg-open", url);
    expect(await shim.url()).toBe(url);
    expect(existsSync(file)).toBe(false);
  });

  test("what is no web address is refused", async () => {
    expect((await call("xdg-open", "/etc/passwd")).exitCode).toBe(2);
    expect((await call("xdg-open", "file:///etc/passwd")).exitCode).toBe(2);
    expect(await shim.url()).toBeUndefined();
  });

  test("an endless address is cut where it is too long anyway", async () => {
    await call("xdg-open", `https://x.example/${"a".repeat(100_000)}`);
    expect(await shim.url()).toHaveLength(8193);
  });

  test("nobody else can look into its folder, and nothing of it stays", async () => {
    const directory = dirname(shim.env.BROWSER);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    await shim.remove();
    expect(existsSync(directory)).toBe(false);
  });
});
