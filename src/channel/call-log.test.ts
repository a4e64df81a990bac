import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { olderLog, withCallLog } from "./call-log.ts";
import type { GuestChannel } from "./channel.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-calls-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Answers `open`, refuses everything else. */
const channel = (): GuestChannel => ({
  call: (async (method: string) => {
    if (method === "open") return {};
    throw new AppError("timeout", "channel-timeout", "No answer with SECRET in it.");
  }) as GuestChannel["call"],
  traffic: { bytes: 9, garbageLines: 3, spentMs: 7, isFlooding: true },
  close: () => {},
});

describe("withCallLog", () => {
  test("method, time and outcome of each call, and nothing of what was said", async () => {
    const file = join(folder, "channel.log");
    const logged = withCallLog(channel(), file);
    await logged.call("open", { url: "https://a/?code=SECRET" }, { timeoutMs: 1 });
    await expect(logged.call("health", {}, { timeoutMs: 1 })).rejects.toMatchObject({ code: "channel-timeout" });
    logged.close();
    await expect(logged.call("health", {}, { timeoutMs: 1 })).rejects.toThrow("No answer");
    const text = readFileSync(file, "utf8");
    expect(text.replaceAll(/^\S+ /gm, "").replaceAll(/\d+ ms/g, "N ms")).toBe(
      [
        "channel opened by the controller",
        "open N ms ok",
        "health N ms channel-timeout",
        "lines that answered nothing: 3",
        "closed before, for a flood: 9 bytes cost N ms",
        "channel closed by the controller",
        "",
      ].join("\n"),
    );
    expect(text).not.toContain("SECRET");
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("is bounded, and goes on where a controller before left off", async () => {
    const file = join(folder, "long.log");
    for (let controllers = 0; controllers < 3; controllers++) {
      const logged = withCallLog(channel(), file);
      for (let i = 0; i < 2000; i++) await logged.call("open", { url: "https://a/" }, { timeoutMs: 1 });
      logged.close();
    }
    expect(statSync(file).size).toBeLessThan(70_000);
    expect(statSync(olderLog(file)).size).toBeLessThan(70_000);
    expect(readFileSync(file, "utf8")).toMatch(/channel closed by the controller\n$/);
  });

  test("a folder that is gone fails no call", async () => {
    const logged = withCallLog(channel(), join(folder, "gone", "channel.log"));
    expect(await logged.call("open", { url: "https://a/" }, { timeoutMs: 1 })).toEqual({});
  });
});
