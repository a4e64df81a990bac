import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { boundConsole, CONSOLE_HEAD_BYTES, CONSOLE_TAIL_BYTES } from "./console.ts";

const newFile = () => join(mkdtempSync(join(tmpdir(), "sallyport-console-")), "console.log");

describe("boundConsole", () => {
  test("keeps head and tail, marks the gap, and an appending writer goes on at the end", async () => {
    const file = newFile();
    appendFileSync(file, "first line\n");
    appendFileSync(file, Buffer.alloc(3 * 1024 * 1024, "x"));
    appendFileSync(file, "\nlast line\n");
    expect(await boundConsole(file)).toBeGreaterThan(2 * 1024 * 1024);
    appendFileSync(file, "written after\n");
    const text = readFileSync(file, "utf8");
    expect(text.startsWith("first line\n")).toBe(true);
    expect(text.endsWith("last line\nwritten after\n")).toBe(true);
    expect(text).toMatch(/\[sallyport: at least \d+ bytes cut out here\]/);
    expect(statSync(file).size).toBeLessThan(CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES + 200);
  });

  test("gives back space that was reserved beyond the end, whatever the size says", async () => {
    const file = newFile();
    appendFileSync(file, "short\n");
    execFileSync("fallocate", ["--keep-size", "--length", "8MiB", file]);
    expect(statSync(file)).toMatchObject({ size: 6 });
    expect(await boundConsole(file)).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("short\n");
    expect(statSync(file).blocks).toBeLessThan(1024);
  });

  test("leaves a short console and a missing one alone", async () => {
    const file = newFile();
    expect(await boundConsole(file)).toBe(0);
    appendFileSync(file, "short\n");
    expect(await boundConsole(file)).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("short\n");
  });
});
