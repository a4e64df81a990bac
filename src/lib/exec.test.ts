import { existsSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { run } from "./exec.ts";
import { poll } from "./wait.ts";

test("arguments reach the program as they are: no shell reads them", async () => {
  const words = ["$(id)", "; id", "`id`", "*", "two words"];
  expect((await run("printf", ["%s\n", ...words])).stdout.split("\n")).toEqual([...words, ""]);
});

test("input is written and closed; lines come whole, from either stream", async () => {
  const lines: string[] = [];
  const { stdout } = await run("sh", ["-c", "cat; echo oops >&2; printf last"], {
    input: "one\ntwo\n",
    onLine: (line) => lines.push(line),
  });
  expect(stdout).toBe("one\ntwo\nlast");
  expect(lines.toSorted()).toEqual(["last", "one", "oops", "two"]);
});

test("a failure is told with the end of what was written; an allowed code is none", async () => {
  const args = ["-c", "echo why >&2; exit 3"];
  await expect(run("sh", args)).rejects.toMatchObject({
    code: "command-failed",
    message: expect.stringMatching(/3: why/),
  });
  expect(await run("sh", args, { okCodes: [3] })).toMatchObject({ exitCode: 3 });
  await expect(run("sallyport-is-no-program", [])).rejects.toMatchObject({ code: "command-missing" });
});

/** Prints the number of a grandchild that would outlive its parent, then waits. */
const WITH_GRANDCHILD = ["-c", "sleep 600 & echo $!; wait"];

const seenGone = (pid: number): Promise<true> =>
  poll(async () => (existsSync(`/proc/${pid}`) ? undefined : true), {
    what: `the end of ${pid}`,
    timeoutMs: 10_000,
    intervalMs: 20,
  });

test("too late is killed, with all that it started", async () => {
  let grandchild = 0;
  const late = run("sh", WITH_GRANDCHILD, { timeoutMs: 300, onLine: (line) => (grandchild = Number(line)) });
  await expect(late).rejects.toMatchObject({ code: "command-timeout" });
  expect(grandchild).toBeGreaterThan(1);
  await seenGone(grandchild);
});

test("an abort kills in the same way, and keeps a program from being started at all", async () => {
  const stop = new AbortController();
  let grandchild = 0;
  const stopped = run("sh", WITH_GRANDCHILD, {
    signal: stop.signal,
    onLine: (line) => {
      grandchild = Number(line);
      stop.abort(new Error("enough"));
    },
  });
  await expect(stopped).rejects.toThrow("enough");
  await seenGone(grandchild);
  await expect(run("sallyport-is-no-program", [], { signal: stop.signal })).rejects.toThrow("enough");
});

/** As WITH_GRANDCHILD, in a session of its own: no kill of the group reaches it, and it holds the pipes. */
const WITH_DAEMON = ["-c", "setsid sh -c 'echo $$; exec sleep 600' & wait"];

test.each(["a deadline", "an abort"])(
  "%s is one although a descendant that was not killed holds the pipes",
  async (by) => {
    const stop = new AbortController();
    let daemon = 0;
    const given = run("sh", WITH_DAEMON, {
      timeoutMs: by === "a deadline" ? 300 : 60_000,
      signal: stop.signal,
      onLine: (line) => {
        daemon = Number(line);
        if (by === "an abort") stop.abort(new Error("enough"));
      },
    });
    onTestFinished(() => {
      process.kill(daemon, "SIGKILL");
    });
    await expect(given).rejects.toThrow(by === "a deadline" ? "did not finish within 0.3 s" : "enough");
    expect(existsSync(`/proc/${daemon}`)).toBe(true);
  },
);

test("of a program that writes without end no more than 8 MiB are kept", async () => {
  const { stdout } = await run("head", ["--bytes=20M", "/dev/zero"]);
  expect(stdout.length).toBeGreaterThanOrEqual(8 * 1024 * 1024);
  expect(stdout.length).toBeLessThan(9 * 1024 * 1024);
});
