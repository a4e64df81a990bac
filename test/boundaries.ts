/** Reads our own source as text and says where it leaves the rooms of the house. Pure: files come in as strings. */
import { dirname, join, normalize } from "node:path/posix";

/** Who may import whom: `cli,http → session → vmm,network,image,channel → lib`. Everyone may import `contract`. */
const MAY_IMPORT: Record<string, string[]> = {
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
  session: ["channel", "config", "diagnosis", "handover", "image", "lib", "microvm", "network", "state", "vmm"],
  http: ["config", "diagnosis", "image", "lib", "microvm", "network", "session", "state", "vmm"],
  doctor: ["config", "image", "lib", "network", "vmm"],
  cli: ["client", "config", "diagnosis", "doctor", "handover", "image", "lib", "login", "providers", "vmm"],
  // Runs inside the microVM: whatever it imports is bundled into the image.
  guest: ["channel", "handover", "lib"],
  // Outside src/: the world that demo and tests sign in with. It uses the product; the product does not know it.
  rig: ["client", "config", "image", "lib"],
};

/** The composition root knows everyone and only these know it. */
const MAY_IMPORT_APP = ["src/main.ts", "src/cli/commands/up.ts"];

/** Single files at the top of src/ that tie rooms together. */
const TOP_FILES: Record<string, string[]> = {
  "app.ts": Object.keys(MAY_IMPORT).filter((room) => room !== "rig"),
  "main.ts": ["cli", "config", "lib"],
};

const MAX_LINES = 300;

/** Everything wrong with one file below src/ or rig/, as `path: sentence`. */
export const violationsOf = (path: string, text: string): string[] =>
  [
    ...(path.endsWith(".test.ts") ? [] : [...wrongImports(path, text), ...wrongReach(path, text)]),
    ...(text.split("\n").length - 1 > MAX_LINES ? [`has more than ${MAX_LINES} lines: one file, one idea`] : []),
  ].map((sentence) => `${path}: ${sentence}`);

const wrongImports = (path: string, text: string): string[] => {
  const room = roomOf(path);
  const allowed = MAY_IMPORT[room] ?? TOP_FILES[room];
  if (!allowed) return [`is in no known room: give ${room} a row in test/boundaries.ts`];
  return importsOf(text).flatMap((specifier) => {
    if (!specifier.startsWith(".")) {
      return room === "contract" && specifier !== "zod" ? [`imports ${specifier}; contract knows only zod`] : [];
    }
    const target = normalize(join(dirname(path), specifier));
    if (!/^(src|rig)\//.test(target)) return [`imports ${target}, which is outside src/ and rig/`];
    const other = roomOf(target);
    if (other === "app.ts")
      return MAY_IMPORT_APP.includes(path) ? [] : [`imports app.ts, which only ${MAY_IMPORT_APP.join(" and ")} may`];
    const isFine = other === room || other === "contract" || allowed.includes(other);
    return isFine ? [] : [`imports ${target}, and ${room} may not import ${other}`];
  });
};

/** What only one file may touch. */
const wrongReach = (path: string, text: string): string[] => [
  ...(/\bprocess\.env\b/.test(code(text)) && path !== "src/config/env.ts"
    ? ["reads process.env; only src/config/env.ts does"]
    : []),
  ...(/\bshell:\s*true\b/.test(code(text)) ? ["starts a shell; give run() a list of arguments"] : []),
  ...(/import\s*\{[^}]*\bexec(Sync)?\b[^}]*\}\s*from\s*["'](node:)?child_process["']/.test(text)
    ? ["imports exec, which goes through a shell; use run() of lib/exec.ts"]
    : []),
];

/** `rig`, or the first folder below src/, or the file itself. */
const roomOf = (path: string): string => path.split("/")[path.startsWith("src/") ? 1 : 0] ?? "";

/** Specifiers of static, re-exporting, bare and dynamic imports, `import type` included. */
export const importsOf = (text: string): string[] =>
  [...code(text).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map((match) => match[1] ?? "");

/** Without comments that stand on lines of their own. */
const code = (text: string): string => text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
