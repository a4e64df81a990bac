/** Files that are laid into an image: ours, and those that a recipe's fields turn into. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import { AppError, errnoOf } from "../lib/errors.ts";
import { digestOfValue } from "./digest.ts";
import { digested, type GuestFile, type ResolvedRecipe } from "./recipe.ts";

const AGENT_PATH = "/usr/lib/sallyport/agent.cjs";
const POLICIES_PATH = "/etc/firefox/policies/policies.json";
const CA_FOLDER = "/usr/local/share/ca-certificates";
const INITRAMFS_FOLDER = "/etc/initramfs-tools/";

/** Every file below `folder`. Of the modes only "executable" is kept: the rest is the umask of whoever checked them out. */
export const readGuestFiles = async (folder: string): Promise<GuestFile[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    paths.sort().map(async (path) => ({
      path: `/${relative(folder, path)}`,
      content: await readFile(path),
      mode: (await stat(path)).mode & 0o100 ? 0o755 : 0o644,
    })),
  );
};

/** Throws AppError `agent-not-built`. */
export const readAgent = async (path: string): Promise<GuestFile> => {
  try {
    return { path: AGENT_PATH, content: await readFile(path), mode: 0o644 };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new AppError("unavailable", "agent-not-built", `The guest agent is not built: there is no ${path}.`, {
      hint: "Run `npm run build` first.",
    });
  }
};

/** What mmdebstrap needs before it installs the kernel, because that makes the initrd. */
export const initramfsFiles = (ours: GuestFile[]): GuestFile[] =>
  ours.filter(({ path }) => path.startsWith(INITRAMFS_FOLDER));

/** Everything that goes on top of the base system; of two files with one path the later one wins. */
export const filesOnTop = (ours: GuestFile[], agent: GuestFile, recipe: ResolvedRecipe): GuestFile[] => {
  const shipped = ours.find(({ path }) => path === POLICIES_PATH)?.content.toString() ?? "{}";
  const { width, height } = recipe.screen;
  const certificates = recipe.caCertificates.map((pem, index) =>
    textFile(`${CA_FOLDER}/sallyport-recipe-${index + 1}.crt`, pem),
  );
  const trusted = certificates.map(({ path }) => path);
  const files = [
    ...ours.filter(({ path }) => !path.startsWith(INITRAMFS_FOLDER)),
    agent,
    textFile("/etc/sallyport/screen.env", `SCREEN=${width}x${height}\n`),
    ...certificates,
    textFile(POLICIES_PATH, mergePolicies(shipped, recipe.firefoxPolicies, trusted)),
    ...recipe.files,
  ];
  return [...new Map(files.map((file) => [file.path, file])).values()];
};

export const filesDigest = (files: GuestFile[]): string => digestOfValue(files.map(digested));

type Json = z.infer<ReturnType<typeof z.json>>;
const policiesFile = z.object({ policies: z.record(z.string(), z.json()).default({}) });

/** Objects are merged, anything else is replaced; certificates are added to those that a recipe's own policies name. */
export const mergePolicies = (shipped: string, extra: Record<string, Json>, certificates: string[]): string => {
  const base = policiesFile.parse(JSON.parse(shipped)).policies;
  const merged = merge(base, extra);
  const named = z
    .object({ Install: z.array(z.string()).default([]) })
    .catch({ Install: [] })
    .parse(merged["Certificates"]);
  const trusted = certificates.length > 0 ? { Certificates: { Install: [...named.Install, ...certificates] } } : {};
  return `${JSON.stringify({ policies: merge(merged, trusted) }, null, 2)}\n`;
};

const merge = (base: Record<string, Json>, extra: Record<string, Json>): Record<string, Json> => {
  const result = { ...base };
  for (const [key, value] of Object.entries(extra)) {
    const before = result[key];
    result[key] = isObject(before) && isObject(value) ? merge(before, value) : value;
  }
  return result;
};

const isObject = (value: Json | undefined): value is Record<string, Json> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const textFile = (path: string, text: string): GuestFile => ({ path, content: Buffer.from(text), mode: 0o644 });
