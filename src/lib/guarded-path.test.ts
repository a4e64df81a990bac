import { chmodSync, chownSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createGuardedFolder } from "../../test/fixtures/guarded-folder.ts";
import { AppError } from "./errors.ts";
import { requireGuardedProgram, requireGuardedSocket } from "./guarded-path.ts";

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

describe("what is to be done about a program that is not run", () => {
  const ELSEWHERE = "Put the program where it and every folder above it belong to root";
  const hintOf = (path: string): string => {
    try {
      requireGuardedProgram(path);
    } catch (error) {
      if (error instanceof AppError && error.hint !== undefined) return error.hint;
    }
    throw new Error(`${path} was not refused with a hint`);
  };
  const programIn = (name: string): string => {
    mkdirSync(join(folder, name));
    const program = join(folder, name, "program");
    writeFileSync(program, "", { mode: 0o755 });
    return program;
  };

  test("elsewhere is said first, and then what mends the program, or a folder that is root's own", () => {
    const program = programIn("mended");
    chmodSync(program, 0o775);
    expect(hintOf(program)).toMatch(
      new RegExp(`^${ELSEWHERE}.* Or, .*chown root:root ${program} && chmod go-w ${program}$`),
    );
    chmodSync(program, 0o755);
    chmodSync(dirname(program), 0o775);
    expect(hintOf(program)).toMatch(new RegExp(`^${ELSEWHERE}.* Or, .*: chmod go-w ${dirname(program)}$`));
  });

  test("nobody is told to change /tmp, or any folder that all may write to", () => {
    const program = programIn("sticky");
    chmodSync(dirname(program), 0o1777);
    for (const path of [program, join(mkdtempSync("/tmp/sallyport-guard-"), "program")]) {
      if (path !== program) onTestFinished(() => rmSync(dirname(path), { recursive: true }));
      writeFileSync(path, "");
      expect(hintOf(path)).not.toMatch(/chown|chmod/);
      expect(hintOf(path)).toContain(ELSEWHERE);
    }
  });

  test.runIf(process.geteuid?.() === 0)("nor a folder of another user", () => {
    const program = programIn("home");
    chownSync(dirname(program), 4_000, 4_000);
    expect(hintOf(program)).not.toMatch(/chown|chmod/);
  });
});
