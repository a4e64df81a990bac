import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import { readEnv } from "./env.ts";
import { redactedConfig } from "./redacted.ts";

test("says what is set, and of files, endpoints and providers no more than that", () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-redacted-"));
  const file = join(folder, "config.yaml");
  writeFileSync(
    file,
    `listen: 192.0.2.1:4000
tls: {certificate: /SECRET/cert.pem, key: /SECRET/key.pem}
dataDir: /SECRET
vmm: {firecracker: /SECRET/firecracker, jailer: /SECRET/jailer}
providers: {oidc: {issuer: "https://issuer.test", clientSecret: SECRET}}
telemetry: {otlpEndpoint: "https://SECRET.collector.test"}
`,
  );
  const shown = redactedConfig(loadConfig({ ...readEnv(), dataDir: undefined, logLevel: undefined }, file));
  rmSync(folder, { recursive: true });
  expect(JSON.stringify(shown)).not.toContain("SECRET");
  expect(shown).toMatchObject({
    hasTls: true,
    providers: ["oidc"],
    hasTelemetry: true,
    evidence: { keepDays: 7, maxMib: 1024 },
    vm: { accel: "auto" },
    vmm: { backend: "auto", hasFirecracker: true, hasJailer: true },
  });
});
