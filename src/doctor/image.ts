/** The image that sessions start from: there, and as it was built. */
import { join } from "node:path";
import { hexOf } from "../image/digest.ts";
import { ok, problem, type Answer, type Check } from "./check.ts";
import type { Host } from "./host.ts";

export const image: Check = {
  name: "image",
  look: async (host) => {
    const name = host.config.image;
    const manifest = await host.images.manifest(name);
    if (!manifest) return problem(`There is no image named ${name} for sessions to start from.`, buildOf(name));
    const { problems } = await host.images.verify(name, "sizes");
    if (problems.length > 0) return damaged(host, manifest.digest, problems);
    return ok(`${name}: ${manifest.base}, built ${manifest.builtAt}, files of the right size.`);
  },
};

/** Silent unless asked for. */
export const checksums: Check = {
  name: "checksums",
  // 1 GiB to read and hash, on a busy host.
  deadlineMs: 120_000,
  look: async (host) => {
    const name = host.config.image;
    const manifest = host.isDeep ? await host.images.manifest(name) : undefined;
    if (!manifest) return [];
    const { problems } = await host.images.verify(name, "checksums");
    return problems.length > 0
      ? damaged(host, manifest.digest, problems)
      : ok(`Every byte of ${name} is as it was built.`);
  },
};

/** A build finds the image that the same recipe made before: the damaged one has to go first. */
const damaged = ({ config, paths }: Host, digest: string, problems: string[]): Answer =>
  problem(
    `The image ${config.image} is damaged: ${problems.join("; ")}.`,
    `rm -r ${join(paths.images, hexOf(digest))} && ${buildOf(config.image)}`,
  );

const buildOf = (name: string): string => `sallyport image build --name ${name}`;
