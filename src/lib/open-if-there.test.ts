import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openIfThere } from "./open-if-there.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-open-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** F_SETLEASE, F_WRLCK; a signal tells that somebody wants the file. */
const HOLD = `$SIG{IO} = "IGNORE"; open(F, "+<", $ARGV[0]) and fcntl(F, 1024, 1) or die $!; $| = 1; print "held"; <STDIN>`;

test("who holds a lease on the file, or made it a pipe, is not waited for", async () => {
  const file = join(folder, "leased");
  writeFileSync(file, "");
  const holder = spawn("perl", ["-e", HOLD, file], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  const [said] = await Promise.race([once(holder.stdout, "data"), ended]);
  expect(String(said)).toBe("held");
  // As many as Node can wait for at once, and one more.
  const opened = await Promise.all(
    ["read", "change", "read", "change", "read"].map((one) => openIfThere(file, one as "read")),
  );
  expect(opened).toEqual(Array(5).fill(undefined));
  holder.stdin.end();
  await ended;

  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  await (await openIfThere(pipe))?.close();
}, 20_000);

test("a link is not followed, and what is not there is undefined", async () => {
  const link = join(folder, "link");
  symlinkSync("/etc/hostname", link);
  await expect(openIfThere(link)).rejects.toThrow(/ELOOP/);
  expect(await openIfThere(join(folder, "none"))).toBeUndefined();
});
