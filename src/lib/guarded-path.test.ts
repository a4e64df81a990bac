import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createGuardedFolder } from "../../test/fixtures/guarded-folder.ts";
import { requireGuardedSocket } from "./guarded-path.ts";

const { folder, remove } = createGuardedFolder();
const servers: Server[] = [];
const listen = async (path: string): Promise<string> => {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
};
const socketIn = (name: string): Promise<string> => {
  mkdirSync(join(folder, name));
  return listen(join(folder, name, "s"));
};
beforeAll(() => chmodSync(folder, 0o755));
afterAll(() => {
  for (const server of servers) server.close();
  remove();
});

const refused = (path: string, words: RegExp): void =>
  expect(() => requireGuardedSocket(path)).toThrow(
    expect.objectContaining({ code: "path-unguarded", message: expect.stringMatching(words) }),
  );

describe("requireGuardedSocket", () => {
  test("a socket that anybody may use, in folders that nobody else may change", async () => {
    const path = await socketIn("good");
    chmodSync(path, 0o666);
    expect(requireGuardedSocket(path).isSocket()).toBe(true);
  });

  test.each([0o775, 0o757, 0o1777, 0o1773])("a folder of mode %o above it is refused, sticky or not", async (mode) => {
    const path = await socketIn(`mode-${mode.toString(8)}`);
    chmodSync(join(folder, `mode-${mode.toString(8)}`), mode);
    refused(path, /may be written by others/);
  });

  test("below /tmp", async () => {
    const below = mkdtempSync("/tmp/sallyport-guard-");
    onTestFinished(() => rmSync(below, { recursive: true }));
    refused(await listen(join(below, "s")), /written by others/);
  });

  test("another user's socket, or another user's folder", async () => {
    const path = await socketIn("owned");
    expect(() => requireGuardedSocket(path, [4_000_000])).toThrow(/belongs to user/);
  });

  test("a link on the way, wherever it leads, and a link in the socket's place", async () => {
    await socketIn("real");
    symlinkSync(join(folder, "real"), join(folder, "link"));
    refused(join(folder, "link", "s"), /it is a symbolic link/);
    symlinkSync(join(folder, "real", "s"), join(folder, "real", "other"));
    refused(join(folder, "real", "other"), /it is no socket/);
  });

  test("what is no socket", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    refused(file, /it is no socket/);
    linkSync(file, join(folder, "hard"));
    refused(join(folder, "hard"), /it is no socket/);
    refused(join(file, "s"), /it is no folder/);
  });

  test("a path with .. is judged where it leads", async () => {
    await socketIn("up");
    expect(requireGuardedSocket(`${folder}/up/../up/s`).isSocket()).toBe(true);
  });

  test("nothing there is no verdict on safety", () => {
    expect(() => requireGuardedSocket(join(folder, "none"))).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });
});
