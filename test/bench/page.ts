/** docs/benchmarks.md: a section for each benchmark, from one run each, written by nobody else. Pure. */

const HEAD = `# Benchmarks

Written by \`npm run bench\`, section by section: \`npm run bench -- --only NAME\` measures one anew and replaces its section. Nothing passes or
fails by it. Each figure stands beside its floor or its peer, measured in the same run, because the machine's mood is in all of
them alike: quote ratios. Figures are the median of five or more, with the smallest and the largest in brackets.
`;

export interface PageSection {
  name: string;
  title: string;
  about: string;
  /** Of this run. */
  machine: string;
  table: string[][];
  notes: string[];
}

/** `page` as it was, with these sections in place of theirs; in the order of `names`. */
export const pageWith = (page: string, sections: readonly PageSection[], names: readonly string[]): string => {
  const kept = new Map([...page.matchAll(SECTION)].map((match) => [match[1] ?? "", match[0]]));
  for (const section of sections) kept.set(section.name, textOfSection(section));
  const all = names.flatMap((name) => kept.get(name) ?? []);
  return `${[HEAD.trimEnd(), ...all].join("\n\n")}\n`;
};

const SECTION = /<!-- bench: (\w+) -->\n[^]*?<!-- end -->/g;

const textOfSection = ({ name, title, about, machine, table, notes }: PageSection): string => {
  const [heads = [], ...rows] = table;
  const lines = [heads, heads.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  const parts = [`## ${name}: ${title}`, about, machine, lines.join("\n"), ...notes];
  return `<!-- bench: ${name} -->\n\n${parts.join("\n\n")}\n\n<!-- end -->`;
};
