/** The users that VMMs and the resolver run as: whoever shares a number with one can end it, and read what is between it and the controller. */
import { readFile } from "node:fs/promises";
import { unlessMissing } from "../lib/unless-missing.ts";
import { resolverUid } from "../lib/user-range.ts";
import { ok, problem, warning, type Check } from "./check.ts";

export const users: Check = {
  name: "users",
  look: async ({ network: { vmmUids }, strangers }) => {
    const [first, last] = [vmmUids[0], resolverUid(vmmUids)];
    const range = `${first} to ${last}`;
    const texts = await Promise.all(FILES.map((name) => unlessMissing(readFile(`/etc/${name}`, "utf8"), "")));
    const taken = FILES.flatMap((name, index) => takenIn(name, texts[index] ?? "", [first, last]));
    const found = taken.length === 0 ? await strangers() : [];
    if (found.length > 0) {
      const pids = found.map(({ process }) => process.pid).join(",");
      return warning(
        `What runs with one of the numbers ${range}, which are for microVMs, and is in none: process ${pids}. A microVM from before an upgrade, or somebody else's program.`,
        `look (ps -o pid,user,lstart,args -p ${pids}) and end it, or set vm.uidBase to numbers that nobody has`,
      );
    }
    if (taken.length === 0)
      return ok(`The numbers ${range}, which microVMs and their resolver run as, are nobody else's.`);
    return problem(
      `Of the numbers ${range}, which microVMs and their resolver run as, others have some: ${taken.slice(0, 5).join(", ")}.`,
      `set vm.uidBase so that ${last - first + 1} numbers from there on are in none of these files`,
    );
  },
};

/** The accounts themselves, and the ranges that they may map into containers of their own (man subuid(5)). */
const FILES = ["passwd", "group", "subuid", "subgid"] as const;

/** Who has numbers between `first` and `last`, as `NAME in /etc/FILE`. Pure. */
export const takenIn = (name: (typeof FILES)[number], text: string, [first, last]: [number, number]): string[] =>
  text.split("\n").flatMap((line) => {
    const [who = "", second, third, fourth] = line.split(":");
    const ranges: Record<typeof name, [number, number][]> = {
      passwd: [one(third), one(fourth)],
      group: [one(third)],
      subuid: [[Number(second), Number(second) + Number(third) - 1]],
      subgid: [[Number(second), Number(second) + Number(third) - 1]],
    };
    return ranges[name].some(([from, to]) => from <= last && to >= first) ? [`${who} in /etc/${name}`] : [];
  });

const one = (number: string | undefined): [number, number] => [Number(number), Number(number)];
