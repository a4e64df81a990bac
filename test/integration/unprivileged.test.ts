/** What a VMM is started in, seen from within, by a program that says it. */
import { beforeAll, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { unprivileged } from "../../src/vmm/unprivileged.ts";

const UID = 1_900_000_001;
let seen: string;

beforeAll(async () => {
  const [program = "", ...args] = unprivileged({ uid: UID, maxFileBytes: 4096 }, [
    "cat",
    "/proc/self/status",
    "/proc/self/limits",
  ]);
  // Started by somebody who has a group to hand on.
  seen = (await run("setpriv", ["--groups=6", "--", program, ...args])).stdout;
});

const NOTHING = "0000000000000000";

test.each([
  ["Uid", Array(4).fill(UID).join("\t"), "an escape finds no root, and no way back to one"],
  ["Gid", Array(4).fill(UID).join("\t"), "nor its group"],
  ["Groups", "", "nor a group of the controller's, such as kvm or disk"],
  ["CapPrm", NOTHING, "no right of root's"],
  ["CapEff", NOTHING, "none in use"],
  ["CapInh", NOTHING, "none handed on"],
  ["CapAmb", NOTHING, "none handed on to a program without rights"],
  ["CapBnd", NOTHING, "and none to be had from a file"],
  ["NoNewPrivs", "1", "nor from a set-user-ID program"],
  // Bit 24 is SIGXFSZ.
  ["SigIgn", expect.stringMatching(/^[0-9a-f]{9}[13579bdf]000000$/), "a full console ends a write, not the VMM"],
])("%s is %j: %s", (field, value) => {
  const [, found] = new RegExp(`^${field}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(seen) ?? [];
  expect(found).toEqual(value);
});

test("no core dump, which would hold the guest's memory, and no file beyond the limit", () => {
  expect(seen).toMatch(/^Max core file size +0 +0 /m);
  expect(seen).toMatch(/^Max file size +4096 +4096 /m);
});
