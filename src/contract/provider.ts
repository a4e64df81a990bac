/** A provider recipe: data, not code (spec: product, "Modes"). One YAML file per provider. */
import { z } from "zod";

export const providerName = z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, "must be 1-32 of a-z 0-9 _ -");

/** A host name, or `*.name` for every host below it. */
const hostPattern = z.string().regex(/^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$|^localhost$/, "must be a host name or *.name");

const common = {
  name: providerName,
  title: z.string().min(1).max(100),
  /** What the documentation recommends before a VM is used at all: API key, device code, paste-code. */
  betterWithout: z.string().max(1000).optional(),
};

/** The unmodified tool runs on the requester's machine. */
const tool = {
  command: z.array(z.string()).min(1),
  env: z.record(z.string(), z.string()).default({}),
  /** Hosts whose URLs may be opened first. */
  hosts: z.array(hostPattern).min(1),
  /** Where the tool keeps its credential, for the closing line of the terminal. */
  credential: z.string().optional(),
};

const relayRecipe = z.strictObject({ ...common, ...tool, mode: z.literal("relay") });
const openRecipe = z.strictObject({ ...common, ...tool, mode: z.literal("open") });
const oidcRecipe = z.strictObject({
  ...common,
  mode: z.literal("oidc"),
  /** Absent in the shipped recipe: the operator's configuration gives it. */
  issuer: z.url({ protocol: /^https$/ }).optional(),
  clientId: z.string().min(1).optional(),
  scopes: z.array(z.string()).default(["openid", "profile"]),
});

export const providerRecipe = z.discriminatedUnion("mode", [relayRecipe, openRecipe, oidcRecipe]);
export type ProviderRecipe = z.infer<typeof providerRecipe>;
