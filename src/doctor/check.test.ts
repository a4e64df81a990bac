import { loadConfig } from "../config/config.ts";
import { readEnv } from "../config/env.ts";
import { describe, expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { ok, runCheck } from "./check.ts";
import type { Check } from "./check.ts";
import { createHost } from "./host.ts";
import { nameservers } from "./names.ts";

const config = loadConfig({ ...readEnv(), configFile: undefined, dataDir: "/nonexistent" }, "/dev/null");
const host = (isRoot: boolean) => ({ ...createHost({ config, path: "", isDeep: false }), isRoot });

const check = (look: Check["look"], rest: Partial<Check> = {}) => ({ name: "it", look, ...rest });

describe("runCheck", () => {
  test("what hangs is a problem when its own time is over", async () => {
    const hangs = check(() => new Promise(() => {}), { deadlineMs: 20 });
    expect(await runCheck(hangs, host(true))).toEqual([
      { name: "it", result: "problem", text: "No answer within 0.02 s: something that was asked hangs." },
    ]);
  });

  test("a refusal is a problem with its own hint", async () => {
    const refuses = check(async () => {
      throw new AppError("unavailable", "vmm-missing", "QEMU is not installed.", { hint: "Install it." });
    });
    expect(await runCheck(refuses, host(true))).toMatchObject([{ result: "problem", remedy: "Install it." }]);
  });

  test("for others than root, what only root may see is unchecked and is not tried", async () => {
    let isTried = false;
    const look = async () => {
      isTried = true;
      return ok("seen");
    };
    expect(await runCheck(check(look, { needsRoot: true }), host(false))).toMatchObject([{ result: "unchecked" }]);
    expect(isTried).toBe(false);
    expect(await runCheck(check(look, { needsRoot: true }), host(true))).toMatchObject([{ result: "ok" }]);
  });

  test.each([
    [false, "unchecked"],
    [true, "problem"],
  ])("a file that may not be read, as root %s: %s", async (isRoot, result) => {
    const forbidden = check(async () => {
      throw Object.assign(new Error("permission denied"), { code: "EACCES" });
    });
    expect(await runCheck(forbidden, host(isRoot))).toMatchObject([{ result }]);
  });
});

test("name servers of resolv.conf, in order, without comments", () => {
  const text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 192.0.2.53\n  nameserver\tfd00::53 # second\n";
  expect(nameservers(text)).toEqual(["192.0.2.53", "fd00::53"]);
});
