import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startFakeApi } from "../../../test/fixtures/fake-firecracker-api.ts";
import { withShortPath } from "../../lib/open-stream.ts";
import { vmPaths } from "../../lib/paths.ts";
import { inChroot } from "./chroot.ts";
import { askFirecracker } from "./start.ts";

test.each([
  ["Running", "running"],
  ["Paused", "paused"],
  ["Not started", "other"],
  ["constructor", "other"],
  ["__proto__", "other"],
])("a Firecracker that says %s: %s", async (state, status) => {
  const root = mkdtempSync("/tmp/sp-start-");
  onTestFinished(() => rmSync(root, { recursive: true }));
  const paths = vmPaths(root, "/sallyport-test/none");
  const socket = inChroot(paths, "apiSocket");
  mkdirSync(dirname(socket), { recursive: true });
  const answer = () => ({ status: 200, body: JSON.stringify({ state }) });
  const { stop } = await withShortPath(socket, (path) => startFakeApi(path, answer));
  onTestFinished(stop);
  expect(await askFirecracker(paths, 15_000)).toBe(status);
});
