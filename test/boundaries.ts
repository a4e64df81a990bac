/** Reads our own source as text and says where it leaves the rooms of the house. Pure: files come in as strings, by path. */
import { dirname, join, normalize } from "node:path/posix";

/** Who may import whom: `cli,http → session → vmm,network,image,channel → lib`; a file where a room opens by one. Everyone may import `contract`. */
export const MAY_IMPORT: Record<string, string[]> = {
  contract: [],
  lib: [],
  config: ["lib"],
  state: ["lib"],
  channel: ["lib"],
  vmm: ["lib"],
  network: ["lib", "state"],
  image: ["lib"],
  microvm: ["channel", "config", "diagnosis", "image", "lib", "network", "state", "vmm"],
  client: ["lib"],
  // Both ends: what the guest seals and the controller checks, and what the requester's command line opens and checks again.
  handover: ["lib"],
  providers: ["lib"],
  // The requester's program of a sign-in.
  login: ["client", "handover", "lib"],
  diagnosis: ["channel", "lib", "network", "vmm"],
  session: ["channel", "config", "diagnosis", "handover", "image", "lib", "microvm", "state", "vmm"],
  controller: ["config", "diagnosis", "lib", "microvm", "network", "session"],
  access: ["lib", "state"],
  // What it needs of sessions another host could answer: no path, no VMM, no guest's address.
  http: ["access/keys.ts", "config", "lib", "session/sessions.ts"],
  doctor: ["config", "image", "lib", "network", "vmm"],
  cli: ["client", "config", "diagnosis", "doctor", "handover", "image", "lib", "login", "providers"],
  // Runs inside the microVM: whatever it imports is bundled into the image.
  guest: ["channel", "handover", "lib"],
  // Outside src/. The world that demo and tests sign in with uses the product; the product does not know it.
  rig: ["client", "config", "image", "lib"],
  web: [],
  // Run before there are packages; `npm run faults` is a test as a program.
  scripts: ["lib", "test"],
  bin: ["scripts"],
  "main.ts": ["cli", "config"],
};

/** The composition root, src/app.ts, knows everyone and only these know it. */
const MAY_IMPORT_APP = ["src/cli/commands/up.ts"];

/** The one file outside a VMM backend's folder that may name it. */
const VMM_REGISTRY = "src/vmm/backends.ts";

const MAX_LINES = 300;

/** Everything wrong with one file, as `path: sentence`. Tests may import whom they like. */
export const violationsOf = (path: string, text: string): string[] =>
  [
    ...(isTest(path) ? [] : [...wrongImports(path, text), ...wrongReach(path, text)]),
    ...(text.split("\n").length - 1 > MAX_LINES ? [`has more than ${MAX_LINES} lines: one file, one idea`] : []),
  ].map((sentence) => `${path}: ${sentence}`);

/** Rows that allow what none of these files does, as sentences: whoever ends an import ends its permission. */
export const unusedPermissions = (files: ReadonlyMap<string, string>): string[] => {
  const imports = [...files]
    .filter(([path]) => !isTest(path))
    .map(([path, text]) => ({ path, targets: targetsOf(path, text) }));
  const used = new Set(
    imports.flatMap(({ path, targets }) =>
      targets.flatMap((target) => [roomOf(target), fileOf(target)].map((other) => `${roomOf(path)} ${other}`)),
    ),
  );
  return [
    ...Object.entries(MAY_IMPORT).flatMap(([room, others]) =>
      others
        .filter((other) => !used.has(`${room} ${other}`))
        .map((other) => `${room} may import ${other} and does not: take it out of its row in test/boundaries.ts`),
    ),
    ...MAY_IMPORT_APP.filter(
      (path) => !imports.some((one) => one.path === path && one.targets.includes("src/app.ts")),
    ).map((path) => `${path} may import app.ts and does not`),
  ];
};

/** Circles as `a → b → a`. Types count: two files that cannot be understood without each other are one. */
export const circlesIn = (imports: ReadonlyMap<string, readonly string[]>): string[] => {
  const circles: string[] = [];
  const seen = new Set<string>();
  const walk = (at: string, trail: string[]): void => {
    if (trail.includes(at)) circles.push([...trail.slice(trail.indexOf(at)), at].join(" → "));
    if (seen.has(at)) return;
    seen.add(at);
    for (const next of imports.get(at) ?? []) walk(next, [...trail, at]);
  };
  for (const path of imports.keys()) walk(path, []);
  return circles;
};

/** Paths that a file imports from this repository. */
export const targetsOf = (path: string, text: string): string[] =>
  importsOf(text)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => normalize(join(dirname(path), specifier)));

const wrongImports = (path: string, text: string): string[] => {
  const room = roomOf(path);
  const allowed = room === "app.ts" ? Object.keys(MAY_IMPORT).filter((one) => one !== "rig") : MAY_IMPORT[room];
  if (!allowed) return [`is in no known room: give ${room} a row in test/boundaries.ts`];
  const foreign = importsOf(text).filter((specifier) => room === "contract" && !/^(\.|zod$)/.test(specifier));
  return [
    ...foreign.map((specifier) => `imports ${specifier}; contract knows only zod`),
    ...targetsOf(path, text).flatMap((target) => {
      const other = roomOf(target);
      if (other === "app.ts")
        return MAY_IMPORT_APP.includes(path) ? [] : [`imports app.ts, which only ${MAY_IMPORT_APP.join(" and ")} may`];
      const backend = /^src\/vmm\/[^/]+\//.exec(target)?.[0];
      if (backend && !path.startsWith(backend) && path !== VMM_REGISTRY)
        return [`imports ${target}; a VMM backend's files are its own, and ${VMM_REGISTRY} names it`];
      const isFine =
        other === room || other === "contract" || allowed.includes(other) || allowed.includes(fileOf(target));
      return isFine ? [] : [`imports ${target}, and ${room} may not import ${other}`];
    }),
  ];
};

/** What only one file may touch. */
const wrongReach = (path: string, text: string): string[] => [
  ...(/\bprocess\.env\b/.test(code(text)) && /^(src|rig)\//.test(path) && path !== "src/config/env.ts"
    ? ["reads process.env; only src/config/env.ts does"]
    : []),
  ...(/\.(hijack|writeHead|flushHeaders)\(|\braw\.(write|end)\(/.test(code(text)) && path.startsWith("src/http/")
    ? ["writes an answer by hand; give the framework a value or a stream, which it ends"]
    : []),
  ...(/\bshell:\s*true\b/.test(code(text)) ? ["starts a shell; give run() a list of arguments"] : []),
  ...(/import\s*\{[^}]*\bexec(Sync)?\b[^}]*\}\s*from\s*["'](node:)?child_process["']/.test(text)
    ? ["imports exec, which goes through a shell; use run() of lib/exec.ts"]
    : []),
];

/** As a row may name it: below src/, e.g. `session/sessions.ts`. */
const fileOf = (path: string): string => path.replace(/^src\//, "");

const isTest = (path: string): boolean => path.endsWith(".test.ts");

/** The folder below src/, or the file at its top; elsewhere the folder at the top of the repository. */
const roomOf = (path: string): string => path.split("/")[path.startsWith("src/") ? 1 : 0] ?? "";

/** Specifiers of static, re-exporting, bare and dynamic imports, `import type` included. */
export const importsOf = (text: string): string[] =>
  [...code(text).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map((match) => match[1] ?? "");

/** Without comments that stand on lines of their own. */
const code = (text: string): string => text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
