/** The one place where a build keeps what is not finished yet, and the lock that makes it the only one to do so. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "../lib/cleanup.ts";
import { AppError } from "../lib/errors.ts";
import { orAfter } from "../lib/wait.ts";

const PREFIX = "tmp-";
const BUSY = 75;
const LOCK_TIMEOUT_MS = 10_000;

/**
 * A fresh folder below `cache`, removed by `cleanup`, together with the exclusive right to build there. What an interrupted
 * build left behind is removed first: whoever has the lock knows that nobody uses it. Throws AppError `image-build-busy`.
 */
export const openWorkspace = async (cache: string, cleanup: Cleanup): Promise<string> => {
  await mkdir(cache, { recursive: true });
  cleanup.push("build lock", await lock(join(cache, "build.lock")));
  for (const name of await readdir(cache)) {
    if (name.startsWith(PREFIX)) await rm(join(cache, name), { recursive: true, force: true });
  }
  const workspace = await mkdtemp(join(cache, `${PREFIX}${process.pid}-`));
  cleanup.push("build workspace", () => rm(workspace, { recursive: true, force: true }));
  return workspace;
};

/**
 * The kernel's own lock, held by a child that lives until our end of its standard input closes. However this process ends,
 * the lock ends with it.
 */
const lock = async (path: string): Promise<() => Promise<void>> => {
  const holder = spawn("flock", ["--nonblock", "--conflict-exit-code", `${BUSY}`, path, "cat"], {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const ended = once(holder, "close").then(([code]) => Number(code ?? -1));
  // When the lock is busy flock ends without reading; its exit code says so.
  holder.stdin.on("error", () => {});
  const held = once(holder.stdout, "data").then(() => "held" as const);
  holder.stdin.write("\n");
  const outcome = await orAfter(Promise.race([held, ended]), LOCK_TIMEOUT_MS, () => "late" as const);
  if (outcome === "held") {
    return async () => {
      holder.stdin.end();
      await ended;
    };
  }
  holder.stdin.end();
  if (outcome === BUSY) {
    throw new AppError("conflict", "image-build-busy", "Another image build is running on this data directory.", {
      hint: "Wait until it has ended, then try again.",
    });
  }
  throw new AppError("internal", "image-lock-failed", `The build lock ${path} could not be taken (${outcome}).`);
};
