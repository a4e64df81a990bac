import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { commandLine, identify, identifyChild, isAlive, killAll, killProcess, processesOf } from "./process.ts";

/** A child of this test that runs for a minute, unless somebody ends it. */
const startChild = async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, identity: identifyChild(child.pid ?? 0) };
};

test("a process is told by number and start time; one that ended is none", async () => {
  const { child, identity } = await startChild();
  expect(await identify(identity.pid)).toEqual(identity);
  expect(await isAlive({ ...identity, startTicks: "1" })).toBe(false);
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
  expect(await isAlive(identity)).toBe(false);
  expect(await identify(identity.pid)).toBeUndefined();
  expect(await commandLine(identity.pid)).toEqual([]);
});

test("processes are found by their user", async () => {
  const { identity } = await startChild();
  const uid = process.getuid?.();
  expect(await processesOf((user) => user === uid)).toContainEqual({ process: identity, uid });
  expect(await processesOf((user) => user !== uid)).not.toContainEqual({ process: identity, uid });
});

describe("killProcess", () => {
  test("ends it, and again is no error", async () => {
    const { identity } = await startChild();
    await killProcess("The child", identity);
    expect(await isAlive(identity)).toBe(false);
    await killProcess("The child", identity);
  });

  test("leaves a process alone that only has the number", async () => {
    const { identity } = await startChild();
    await killProcess("The child", { ...identity, startTicks: "1" });
    expect(await isAlive(identity)).toBe(true);
  });
});

test("killAll goes on until nothing is found any more, and what it may not or cannot kill keeps no other alive", async () => {
  const { identity: first } = await startChild();
  const { identity: second } = await startChild();
  const rounds = [[{ pid: 2 ** 22 + 1, startTicks: "1" }, first], [second], []];
  await killAll("The children", async () => rounds.shift() ?? []);
  expect(rounds).toEqual([]);
  for (const process of [first, second]) expect(await isAlive(process)).toBe(false);
});

test("killAll says what stays", async () => {
  const stays = { pid: 2 ** 22 + 1, startTicks: "1" };
  await expect(killAll("The child", async () => [stays], 100)).rejects.toMatchObject({
    code: "process-stays",
    message: `The child did not end although it was killed: process ${stays.pid}.`,
  });
});
