import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureCertificates } from "../../rig/certificates.ts";
import { readTls } from "./tls.ts";

const directory = mkdtempSync(join(tmpdir(), "sallyport-tls-"));
const named = { good: "", goodKey: "", otherKey: join(directory, "other.pem"), text: join(directory, "text.pem") };
beforeAll(async () => {
  const made = await ensureCertificates({ directory, domain: "test", host: "sally.test" });
  Object.assign(named, { good: made.server, goodKey: made.serverKey });
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(named.otherKey, privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(named.text, "no PEM\n");
});
afterAll(() => rmSync(directory, { recursive: true }));

test("a certificate and its key are read", () => {
  const { cert, key } = readTls({ certificate: named.good, key: named.goodKey });
  expect([cert, key]).toEqual([readFileSync(named.good), readFileSync(named.goodKey)]);
});

test.each<[string, () => { certificate: string; key: string }]>([
  ["a certificate that is not there", () => ({ certificate: join(directory, "none"), key: named.goodKey })],
  ["a key that is not there", () => ({ certificate: named.good, key: join(directory, "none") })],
  ["a certificate that is none", () => ({ certificate: named.text, key: named.goodKey })],
  ["a key that is none", () => ({ certificate: named.good, key: named.text })],
  ["another certificate's key", () => ({ certificate: named.good, key: named.otherKey })],
])("%s: a sentence that names both files", (_what, files) => {
  const { certificate, key } = files();
  const message = expect.stringContaining(`TLS cannot be had with ${certificate} and ${key}: `) as string;
  expect(() => readTls(files())).toThrow(expect.objectContaining({ code: "tls-unusable", exitCode: 2, message }));
});
