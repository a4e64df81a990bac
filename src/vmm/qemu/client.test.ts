import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { vmPaths } from "../../lib/paths.ts";
import { untilQemuAnswers } from "./client.ts";
import { socketsOf } from "./sockets.ts";

test("whoever waits for a QEMU that accepts and says nothing can be told to stop", async () => {
  const root = await mkdtemp(join(tmpdir(), "sallyport-qemu-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const paths = vmPaths(root, "/sallyport-test/none");
  const { control } = socketsOf(paths);
  await mkdir(dirname(control), { recursive: true });
  const stop = new AbortController();
  const silent = createServer(() => stop.abort(new Error("enough"))).listen(control);
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  await expect(untilQemuAnswers(paths, 15_000, stop.signal)).rejects.toThrow("enough");
});
