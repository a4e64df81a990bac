/** Finds what a reader of this repository cannot follow: mentions of files that are not there, and of documents outside it. Pure. */
import { basename, dirname, join, normalize } from "node:path/posix";

/** Endings of files that a comment means when it names one; what programs write while they run (`config.json`) is not here. */
const MENTION = /(?<![\w.@/:$-])[\w@.-]*[\w@-](?:\/[\w@.-]+)*\.(?:ts|mjs|md|pl|sh)(?![\w-]|\.\w)/g;

/** Ways of pointing to something that only its author has. A standard's section (`RFC 9458 §4.4`) is no such. */
const ELSEWHERE = [/\(?facts?: /, /\bthe documents\b/i, /\bthe (?:issue|brief)\b/i, /\bissue #?\d/i, /(?<!\d )§/];

/** Sentences about one file. `paths` are all files of the repository. */
export const deadMentions = (path: string, text: string, paths: ReadonlySet<string>): string[] => {
  const prose = path.endsWith(".md") ? withoutLinks(text) : commentsOf(text).join("\n");
  const named = [...prose.matchAll(MENTION)]
    .map(([mention]) => mention)
    .filter((one) => !one.startsWith("node_modules/"));
  const linked = path.endsWith(".md") ? linksOf(text) : [];
  return [
    ...named
      .filter((mention) => !isThere(mention, path, paths))
      .map((mention) => `names ${mention}, which is not there`),
    ...linked
      .filter((link) => !isFolderOrFile(normalize(join(dirname(path), link)), paths))
      .map((link) => `links to ${link}, which is not there`),
    ...ELSEWHERE.flatMap((words) => words.exec(prose)?.[0] ?? []).map(
      (words) => `points elsewhere ("${words.trim()}"): a reader of this repository cannot look it up`,
    ),
  ].map((sentence) => `${path}: ${sentence}`);
};

/** By its path from the root, from src/ or from a folder around the file; by its name alone where it has no folder. */
const isThere = (mention: string, from: string, paths: ReadonlySet<string>): boolean => {
  if (!mention.includes("/")) return [...paths].some((path) => basename(path) === mention);
  const around = ["", "src", ...ancestorsOf(from)];
  return around.some((folder) => paths.has(normalize(join(folder, mention))));
};

const ancestorsOf = (path: string): string[] => {
  const parent = dirname(path);
  return parent === "." ? [] : [parent, ...ancestorsOf(parent)];
};

const isFolderOrFile = (wanted: string, paths: ReadonlySet<string>): boolean =>
  paths.has(wanted) || [...paths].some((path) => path.startsWith(`${wanted.replace(/\/$/, "")}/`));

/** Block comments and line comments, and lines that begin with `#` or `;` in what is no TypeScript. Not inside of strings on one line. */
export const commentsOf = (text: string): string[] => {
  const found = text.matchAll(
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/.*|^\s*#.*/gm,
  );
  return [...found].map(([part]) => part).filter((part) => /^\s*(\/[/*]|#)/.test(part));
};

const LINK = /\]\(([^)\s]+)\)/g;

const linksOf = (markdown: string): string[] =>
  [...markdown.matchAll(LINK)]
    .map(([, target = ""]) => target.replace(/#.*$/, ""))
    .filter((target) => target !== "" && !/^[a-z]+:/.test(target));

const withoutLinks = (markdown: string): string => markdown.replace(LINK, "]").replace(/\bhttps?:\S+/g, "");
