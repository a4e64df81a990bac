import { expect, test } from "vitest";
import { takenIn } from "./users.ts";

const RANGE: [number, number] = [900_000, 901_024];

test.each([
  ["passwd", "ada:x:900000:100:Ada:/home/ada:/bin/sh", true],
  ["passwd", "ada:x:1000:901024:Ada:/home/ada:/bin/sh", true],
  ["passwd", "ada:x:901025:1000:Ada:/home/ada:/bin/sh", false],
  ["group", "crew:x:900500:ada,bob", true],
  ["group", "crew:x:899999:", false],
  ["subuid", "ada:100000:65536", false],
  ["subuid", "ada:834464:65536", false],
  ["subuid", "ada:834465:65536", true],
  ["subgid", "1000:901024:65536", true],
  ["subgid", "1000:901025:65536", false],
  ["passwd", "# a comment", false],
  ["subuid", "", false],
] as const)("%s: %s: %s", (file, line, isTaken) => {
  const [who] = line.split(":");
  expect(takenIn(file, `root:x:0:0::/root:/bin/sh\n${line}\n`, RANGE)).toEqual(
    isTaken ? [`${who} in /etc/${file}`] : [],
  );
});
