import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createFollower, runInHost } from "./port.ts";

const said = `of another command\nbegin b\n\nbegin a\nout\nend b 3\n\nput\0\n\nend a 17\n`;

test.each([1, 2, 3, 7, 1000])("a command's output is its own, and whole, in pieces of %i bytes", (size) => {
  const output: Buffer[] = [];
  const follow = createFollower("a", (chunk) => output.push(Buffer.from(chunk)));
  const codes: (number | undefined)[] = [];
  for (let at = 0; at < said.length; at += size) codes.push(follow(Buffer.from(said.slice(at, at + size))));
  expect(Buffer.concat(output).toString()).toBe("out\nend b 3\n\nput\0\n");
  expect(codes.filter((code) => code !== undefined)).toEqual([17]);
});

let folder = "";
afterEach(() => rm(folder, { recursive: true, force: true }));

test("a host that goes away in the middle of a command has not run it", async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-port-"));
  const path = join(folder, "run.0");
  const server = createServer((socket) => {
    socket.once("data", (data) => {
      const id = /run (\w+) 3 /.exec(data.toString())?.[1];
      socket.end(`begin ${id}\nall is well\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const asked = runInHost(path, { command: "true", stdin: Buffer.from("abc") });
    await expect(asked).rejects.toMatchObject({ code: "test-host-gone" });
    await expect(runInHost(join(folder, "none"), { command: "true" })).rejects.toMatchObject({
      code: "test-host-gone",
    });
    const reason = new Error("enough");
    await expect(runInHost(path, { command: "true", signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  } finally {
    server.close();
  }
});
