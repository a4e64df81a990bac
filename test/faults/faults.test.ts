/** Every fault of the table, made in real guests and on real host networks: what did the product say? */
import { beforeAll, expect, inject, test } from "vitest";
import { FATAL_FAULTS, GUEST_FAULTS, HOST_FAULTS, SAME_ADDRESS } from "./faults.ts";
import { isRight, rowOf, summaryOf, type FaultResult } from "./report.ts";
import { runFaults } from "./run.ts";

let results: FaultResult[];

beforeAll(async () => {
  results = await runFaults({
    cacheDir: inject("imageDataDir"),
    onResult: (result) => console.log(rowOf(result)),
  });
  console.log(JSON.stringify(summaryOf(results)));
});

const faults = [...GUEST_FAULTS, ...HOST_FAULTS, SAME_ADDRESS(""), ...Object.values(FATAL_FAULTS)];

test.each(faults.toSorted((a, b) => a.number - b.number))("$number. $title: $verdict", ({ number, title, verdict }) => {
  const result = results.find((one) => one.number === number && one.title === title);
  expect(result?.code, result?.evidence.join("\n")).toBe(verdict);
  expect(result?.warning?.code ?? verdict).toBe(verdict);
});

test("a TAP that goes down under a running session is named long before the session is given up", () => {
  const { warning, from } = results.find(({ number }) => number === FATAL_FAULTS.tapDown.number) ?? {};
  expect(from).toBe("the watch's deadline");
  expect(warning?.code).toBe(FATAL_FAULTS.tapDown.verdict);
});

test("healthy guests are found healthy: before, between and after the faults, and with the faults' image", () => {
  const healthy = results.filter(({ number }) => number === 0);
  expect(healthy.length).toBeGreaterThan(HOST_FAULTS.length);
  expect(healthy.filter((result) => !isRight(result))).toEqual([]);
});
