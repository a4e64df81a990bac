import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { REQUIREMENTS } from "../lib/host-packages.mjs";
import { specOf } from "../../test/fixtures/spec.ts";
import { inRoom as inJailersRoom } from "./firecracker/jail.ts";
import { inJail, MAX_FILE_BYTES, maxTemplateFileBytes, requireJail } from "./jail.ts";
import { inRoom } from "./qemu/jail.ts";

const PROGRAMS = REQUIREMENTS.filter(({ purpose }) => purpose === "jail").flatMap(({ programs = [] }) => programs);

const spec = specOf();

describe("the programs that a jail is made of", () => {
  test("are all that any VMM's command line starts on its way", () => {
    const lines = [
      inRoom(spec, 3, ["/usr/bin/vmm"]),
      inJailersRoom(spec, { firecracker: "/usr/bin/vmm", jailer: "/usr/bin/jailer" }, 3),
    ].map((line) => inJail("/sys/fs/cgroup/abc1", spec, line));
    // A word without a slash, a digit, a capital or a dash is a program's name.
    const named = lines.flat().filter((word) => /^[a-z]+$/.test(word));
    expect([...new Set(named)].toSorted()).toEqual(PROGRAMS.toSorted());
  });

  test("are looked for before anything is made, and what lacks is named with its package", () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-jail-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const install = (name: string) => writeFileSync(join(folder, name), "", { mode: 0o755 });
    for (const name of PROGRAMS) if (name !== "bwrap" && name !== "nsenter") install(name);
    expect(() => requireJail(folder)).toThrow(
      expect.objectContaining({
        kind: "unavailable",
        code: "program-missing",
        message: expect.stringMatching(
          /^No VMM can be jailed on this host\. .*nsenter is not there.* bwrap is not there/,
        ),
        hint: "Install it: apt-get install util-linux bubblewrap",
      }),
    );
    install("nsenter");
    install("bwrap");
    requireJail(folder);
  });
});

test("a file of a VMM is bounded, and by more only where its machine's memory may be written to one", () => {
  const bound = (...more: [number?]) =>
    Number(/--fsize=(\d+)/.exec(inJail("/g", spec, ["vmm"], ...more).join(" "))?.[1]);
  expect(bound()).toBe(MAX_FILE_BYTES);
  expect(bound(maxTemplateFileBytes(spec.memoryMib))).toBe(512 * 1024 * 1024 + MAX_FILE_BYTES);
});
