/** The identity provider as a program of its own: `identity-provider-main.ts CONFIG.json`; events as JSON lines. */
import { readFile } from "node:fs/promises";
import { identityProviderConfig, serveIdentities } from "./identity-provider.ts";
import type { IdentityEvent } from "./identity-shapes.ts";

const report = (event: IdentityEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
const config = identityProviderConfig.parse(JSON.parse(await readFile(process.argv[2] ?? "config.json", "utf8")));
await serveIdentities(config, report, stop.signal);
