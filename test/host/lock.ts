/** One test host for a checkout: the kernel's own lock says whether there is one, however the last one ended. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, type FileHandle } from "node:fs/promises";
import { AppError } from "../../src/lib/errors.ts";
import { poll } from "../../src/lib/wait.ts";

/**
 * Held for as long as the file that is answered is open, here or in a process that was given it. Throws AppError `test-host-runs`
 * when somebody has it.
 */
export const takeLock = async (path: string): Promise<FileHandle> => {
  const file = await open(path, "a", 0o600);
  const [code] = await once(spawn("flock", ["--nonblock", "3"], { stdio: ["ignore", "ignore", 2, file.fd] }), "close");
  if (code === 0) return file;
  await file.close();
  throw new AppError("conflict", "test-host-runs", "A test host of this checkout runs already, or is coming up.", {
    hint: "Use that one (node_modules/.bin/node scripts/host.mjs run 'COMMAND'), or end what started it and try again.",
  });
};

const END_MS = 60_000;

/** Resolves when nobody has it any more. Throws AppError `deadline` after a minute. */
export const untilFree = async (path: string): Promise<void> => {
  const attempt = () => takeLock(path).catch(() => undefined);
  const lock = await poll(attempt, { what: "the end of the test host", timeoutMs: END_MS, intervalMs: 100 });
  await lock.close();
};
