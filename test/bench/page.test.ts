import { expect, test } from "vitest";
import { pageWith, type PageSection } from "./page.ts";

const section = (name: string, value: string): PageSection => ({
  name,
  title: `the ${name}`,
  about: "Wanted: little.",
  machine: "On a machine.",
  table: [
    ["what", "time"],
    ["it", value],
  ],
  notes: ["Bounded by nothing."],
});

test("a section that is measured anew replaces its own, and others stay", () => {
  const names = ["one", "two", "three"];
  const first = pageWith("", [section("three", "1 s"), section("one", "2 s")], names);
  expect(first.indexOf("## one")).toBeLessThan(first.indexOf("## three"));
  const second = pageWith(first, [section("three", "3 s"), section("two", "4 s")], names);
  expect(second.match(/^\| it \| .*$/gm)).toEqual(["| it | 2 s |", "| it | 4 s |", "| it | 3 s |"]);
  expect(pageWith(second, [], names)).toBe(second);
});
