import { expect, test } from "vitest";
import { tscKhzFrom } from "./tsc.ts";

const CPUINFO = "processor\t: 0\ncpu MHz\t\t: 1197.500\n";

test("prefers the refined figure", () => {
  const log = "tsc: Detected 2596.122 MHz processor\ntsc: Refined TSC clocksource calibration: 2595.124 MHz";
  expect(tscKhzFrom(log, CPUINFO)).toBe(2_595_124);
});

test("takes the counter's figure where it differs from the processor's", () => {
  const log = "tsc: Detected 2400.000 MHz processor\ntsc: Detected 2419.200 MHz TSC";
  expect(tscKhzFrom(log, CPUINFO)).toBe(2_419_200);
});

test("falls back to the processor's present speed", () => expect(tscKhzFrom("", CPUINFO)).toBe(1_197_500));

test("knows when it does not know", () => expect(tscKhzFrom("", "model name: x")).toBeUndefined());
