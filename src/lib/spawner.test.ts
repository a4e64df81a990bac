import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "./exec.ts";
import { identify } from "./process.ts";
import { startSpawner } from "./spawner.ts";
import { poll } from "./wait.ts";

let spawner: ReturnType<typeof startSpawner>;
beforeAll(() => void (spawner = startSpawner()));
afterAll(() => spawner.stop());

const parent = async (): Promise<number> => Number((await run("sh", ["-c", "echo $PPID"])).stdout);

test("programs are another's children, and say what they say to this one", async () => {
  expect(await parent()).not.toBe(process.pid);
  expect(await run("cat", [], { input: "one\n" })).toEqual({ stdout: "one\n", stderr: "", exitCode: 0 });
  await expect(run("sh", ["-c", "echo why >&2; exit 3"])).rejects.toMatchObject({
    code: "command-failed",
    message: "sh ended with code 3: why",
  });
  await expect(run("sallyport-is-no-program", [])).rejects.toMatchObject({ code: "command-missing" });
  await expect(run("sleep", ["60"], { timeoutMs: 50 })).rejects.toMatchObject({ code: "command-timeout" });
});

test("what can be told to no other process is run by this one", async () => {
  const lines: string[] = [];
  await run("sh", ["-c", "echo $PPID"], { onLine: (line) => lines.push(line) });
  expect(lines).toEqual([String(process.pid)]);
});

test("when it ends, what it was asked for is not done a second time, and all that follows is run here", async () => {
  const helper = await parent();
  const hanging = run("sh", ["-c", "echo $PPID; sleep 0.5"]);
  process.kill(helper, "SIGKILL");
  await expect(hanging).rejects.toMatchObject({ code: "spawner-gone" });
  expect(await parent()).toBe(process.pid);
});

test("one that stands still keeps nobody waiting for longer than a program has", async () => {
  startSpawner();
  const helper = await parent();
  process.kill(helper, "SIGSTOP");
  await expect(run("true", [], { timeoutMs: 50 })).rejects.toMatchObject({ code: "spawner-gone" });
  expect(await parent()).toBe(process.pid);
});

test("what it was asked for before it is stopped comes to its end, and then it does, too", async () => {
  const another = startSpawner();
  const helper = await parent();
  const asked = run("sh", ["-c", "sleep 0.3; echo $PPID"]);
  another.stop();
  expect(await parent()).toBe(process.pid);
  expect(Number((await asked).stdout)).toBe(helper);
  const isGone = async () => (await identify(helper)) === undefined || undefined;
  await poll(isGone, { what: "its end", timeoutMs: 10_000, intervalMs: 50 });
});

test("it ends with who started it, and is no child's to keep", async () => {
  const another = startSpawner();
  const helper = await parent();
  another.stop();
  const isGone = async (): Promise<true | undefined> => {
    try {
      return readFileSync(`/proc/${helper}/stat`, "utf8").includes(") Z ") || undefined;
    } catch {
      return true;
    }
  };
  await poll(isGone, { what: "its end", timeoutMs: 10_000, intervalMs: 50 });
});

test("a process that only waits for it goes on, and one that waits for nothing ends", async () => {
  const program = `
    const { startSpawner } = await import(${JSON.stringify(new URL("spawner.ts", import.meta.url).href)});
    const { run } = await import(${JSON.stringify(new URL("exec.ts", import.meta.url).href)});
    startSpawner();
    console.log((await run("echo", ["done"])).stdout.trim());`;
  const args = ["--input-type=module", "--eval", program];
  expect((await run(process.execPath, args, { timeoutMs: 15_000 })).stdout.trim()).toBe("done");
});
