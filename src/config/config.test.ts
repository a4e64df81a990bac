import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import type { Env } from "./env.ts";

const noEnv: Env = {
  configFile: undefined,
  dataDir: undefined,
  url: undefined,
  key: undefined,
  logLevel: undefined,
  home: undefined,
  path: undefined,
  all: {},
};

const load = (yaml: string, env: Partial<Env> = {}) => {
  const file = join(mkdtempSync(join(tmpdir(), "sallyport-config-")), "config.yaml");
  writeFileSync(file, yaml);
  return loadConfig({ ...noEnv, ...env }, file);
};

describe("loadConfig", () => {
  test("an empty file gives the documents' defaults", () => {
    const config = load("");
    expect(config.listen).toEqual({ kind: "tcp", host: "127.0.0.1", port: 4000 });
    expect(config.publicUrl).toBe("http://127.0.0.1:4000");
    expect(config.network.cidr).toBe("192.168.100.1/24");
    expect(config.session).toEqual({ ttlSec: 900, unreachableSec: 120, deadlinesSec: {}, maxPerUser: 2 });
  });

  test("an unknown field is refused by its path", () => {
    expect(() => load("network: {brigde: br1}")).toThrow(
      expect.objectContaining({ fields: ["network.brigde: not a known field"] }),
    );
  });

  test("the environment's data directory wins over the file's", () => {
    expect(load("dataDir: /a", { dataDir: "/b" }).dataDir).toBe("/b");
  });

  test.each(["0.0.0.0:4000", "192.0.2.1:4000", "[::]:4000"])("%s without TLS is refused with a sentence", (listen) => {
    expect(() => load(`listen: "${listen}"`)).toThrow(expect.objectContaining({ code: "config-insecure" }));
  });

  test.each([
    'listen: "0.0.0.0:4000"\ntls: {certificate: /c.pem, key: /k.pem}',
    'listen: "0.0.0.0:4000"\ntrustedProxy: 192.0.2.7\npublicUrl: https://sally.example.org',
    'listen: "[::1]:4000"',
    'listen: "unix:/run/sallyport.sock"',
  ])("%s is accepted", (yaml) => {
    expect(() => load(yaml)).not.toThrow();
  });

  test.each([
    'listen: "0.0.0.0:4000"\ntrustedProxy: 192.0.2.7\npublicUrl: http://sally.example.org',
    "tls: {certificate: /c.pem, key: /k.pem}\npublicUrl: http://127.0.0.1:4000",
    "publicUrl: http://sally.example.org",
  ])("%s: viewers would type their code over plain http, refused", (yaml) => {
    expect(() => load(yaml)).toThrow(expect.objectContaining({ code: "config-insecure" }));
  });

  test("a trusted proxy is an address, nothing else", () => {
    expect(() => load("trustedProxy: everybody")).toThrow(expect.objectContaining({ code: "config-invalid" }));
  });

  test.each(["4000", "example.org:4000", "127.0.0.1:99999", "unix:relative"])("listen %s is refused", (listen) => {
    expect(() => load(`listen: "${listen}"`)).toThrow(expect.objectContaining({ code: "config-invalid" }));
  });
});
