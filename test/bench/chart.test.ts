import { expect, test } from "vitest";
import { chart } from "./chart.ts";

test("each lane has its own scale, and words are no markup", () => {
  const svg = chart([
    { title: "fast <1 s", bars: [{ name: "restored", from: 0, to: 500 }] },
    {
      title: "slow",
      bars: [
        { name: "kernel", from: 0, to: 30_000 },
        { name: "browser", from: 30_000, to: 60_000 },
      ],
    },
  ]);
  const widths = [...svg.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)"/g)].map(([, x, width]) => [
    Number(x),
    Number(width),
  ]);
  const [[, all] = []] = widths;
  expect(widths).toEqual([
    [150, all],
    [150, (all ?? 0) / 2],
    [150 + (all ?? 0) / 2, (all ?? 0) / 2],
  ]);
  expect(svg).toContain("fast &lt;1 s");
  expect(svg).toContain("0.50 s");
});
