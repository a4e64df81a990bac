/** What a VMM was started with: its microVM's config.json, for people, doctor and evidence. The VMM's user cannot read it. */
import { readFile, writeFile } from "node:fs/promises";
import { z } from "zod";
import { jsonOf } from "../lib/json.ts";
import type { VmPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { MicrovmSpec } from "./vmm.ts";

/** Before the VMM is started. `version`: its own; another may be installed by the time somebody reads this. */
export const writeStarted = (spec: MicrovmSpec, version: string, more: Record<string, unknown>): Promise<void> =>
  writeFile(spec.paths.config, JSON.stringify({ spec, version, ...more }, undefined, 2), { mode: 0o600 });

const versioned = z.object({ version: z.string() });

/** The version of the VMM that was started; undefined: none was. */
export const startedVersion = async ({ config }: VmPaths): Promise<string | undefined> =>
  versioned.safeParse(jsonOf(await unlessMissing(readFile(config, "utf8"), ""))).data?.version;
