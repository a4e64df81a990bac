import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import { AppError } from "../lib/errors.ts";
import type { Env } from "./env.ts";

const noEnv: Env = {
  configFile: undefined,
  dataDir: undefined,
  url: undefined,
  publicUrl: undefined,
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
  test("an empty file gives the defaults", () => {
    const config = load("");
    expect(config.listen).toEqual({ kind: "tcp", host: "127.0.0.1", port: 4000 });
    expect(config.publicUrl).toBe("http://127.0.0.1:4000");
    expect(config.network.cidr).toBe("192.168.100.1/24");
    expect(config.session).toEqual({ ttlSec: 900, unreachableSec: 120, deadlinesSec: {}, maxPerUser: 2, max: 50 });
  });

  test("localhost is one address", () => {
    expect(load("listen: localhost:4000").listen).toEqual({ kind: "tcp", host: "127.0.0.1", port: 4000 });
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
    'listen: "0.0.0.0:4000"\ntls: {certificate: /c.pem, key: /k.pem}\npublicUrl: https://sally.example.org',
    'listen: "192.0.2.1:4000"\ntls: {certificate: /c.pem, key: /k.pem}',
    'listen: "[0:0::0:1]:4000"',
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

  test.each(["0.0.0.0", "[::]", "[0::0.0.0.0]", "[::ffff:0.0.0.0]"])("a link to %s leads nowhere: refused", (host) => {
    const tls = "tls: {certificate: /c.pem, key: /k.pem}";
    for (const yaml of [`listen: "${host}:4000"\n${tls}`, `publicUrl: "https://${host}:4000"`]) {
      expect(problemOf(() => load(yaml))).toMatch(/^config-invalid\nLinks would lead to https:/);
    }
  });

  test("it is frozen in depth", () => {
    const config = load("network: {allow: [10.1.0.0/16]}\nproviders: {oidc: {scopes: [openid]}}");
    expect(() => config.network.allow.push("0.0.0.0/8")).toThrow(TypeError);
    expect(() => Object.assign(config.providers.oidc ?? {}, { issuer: "https://evil.test" })).toThrow(TypeError);
    expect(() => Object.assign(config.listen, { host: "0.0.0.0" })).toThrow(TypeError);
  });

  test.each([
    [{ logLevel: "verbose" }, "SALLYPORT_LOG_LEVEL: "],
    [{ dataDir: "sallyport" }, "SALLYPORT_DATA_DIR: must be an absolute path"],
    [{ dataDir: "/var/lib/../../etc" }, "SALLYPORT_DATA_DIR: must be an absolute path without . and .."],
  ])("the environment's %j is refused by the variable's name", (env, sentence) => {
    expect(problemOf(() => load("", env))).toMatch(sentence);
  });
});

const problemOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return error instanceof AppError ? [error.code, ...(error.fields ?? [error.message])].join("\n") : String(error);
  }
  return "accepted";
};

/** Field → what is refused, and a part of the sentence. */
const REFUSED: [yaml: string, sentence: string][] = [
  ["[]", "(whole): "],
  ["tls: {certificate: /c.pem, key: /k.pem, ca: /a.pem}", "tls.ca: not a known field"],
  ["logLevel: verbose", "logLevel: "],
  ["image: ../etc", "image: must be 1-63"],
  ...[
    "4000",
    "example.org:4000",
    "127.0.0.1:0",
    "127.0.0.1:99999",
    "unix:relative",
    "unix:/a/../b",
    "::1:4000",
    "127.1:4000",
    "[127.0.0.1]:4000",
    "[::1%lo]:4000",
  ].map((listen): [string, string] => [`listen: "${listen}"`, `listen: "${listen}" is neither address:port`]),
  ...[
    "sally.example.org",
    "ftp://sally.example.org",
    "https://sally.example.org/viewer",
    "https://sally.example.org/?a=b",
    "https://sally.example.org/#a",
    "https://ann:secret@sally.example.org",
    "https:sally.example.org",
  ].map((url): [string, string] => [`publicUrl: "${url}"`, "publicUrl: must be http(s)://host"]),
  ...["sallyport", "./data", "/", "/data/../etc", "/data/.", "/my data", "/a,b", `/${"a".repeat(70)}`].map(
    (path): [string, string] => [
      `dataDir: "${path}"`,
      path.length > 70 ? "dataDir: may have 70 characters" : "dataDir: must be an absolute path",
    ],
  ),
  ["tls: {certificate: c.pem, key: /k.pem}", "tls.certificate: must be an absolute path"],
  ["trustedProxy: everybody", "trustedProxy: must be the address of a reverse proxy"],
  ...[
    "0.0.0.0/0",
    "0.0.0.0",
    "::/0",
    "::",
    "192.0.2.7/1",
    "2001:db8::1/16",
    "::ffff:0:0/96",
    "0::ffff:10.0.0.0/103",
    "::ffff:0.0.0.0",
    "0:0::/64",
    "::ffff:0:0/40",
  ].map((range): [string, string] => [`trustedProxy: "${range}"`, "trustedProxy: names everybody"]),
  ...["a/b", "br 0", "averyveryverylongname", "1br", "br0:1"].map((name): [string, string] => [
    `network: {bridge: "${name}"}`,
    "network.bridge: must be an interface's name",
  ]),
  ...["lo", "all", "default", "sp-bridge"].map((name): [string, string] => [
    `network: {bridge: ${name}}`,
    "network.bridge: is a name that something else has",
  ]),
  ["network: {table: Sallyport}", "network.table: must be 1-31"],
  ...["filter", "nat", "firewalld", "libvirt_network", "docker"].map((name): [string, string] => [
    `network: {table: ${name}}`,
    "network.table: is another program's table",
  ]),
  ...["table", "inet", "type", "set", "policy", "counter", "ip", "ip6", "vmap"].map((name): [string, string] => [
    `network: {table: ${name}}`,
    'network.table: must begin with "sallyport"',
  ]),
  ...["192.168.100.0/24", "192.168.100.255/24", "10.1.2.4/30", "10.1.2.7/30"].map((cidr): [string, string] => [
    `network: {cidr: ${cidr}}`,
    "network.cidr: must begin with the bridge's own address",
  ]),
  ...["192.168.100.1/31", "192.168.100.1/32", "192.168.100.2/30"].map((cidr): [string, string] => [
    `network: {cidr: ${cidr}}`,
    "network.cidr: has no room for a guest",
  ]),
  ...["192.168.100.1", "192.168.100.1/33", "fd00::1/64", "192.168.100.256/24"].map((cidr): [string, string] => [
    `network: {cidr: "${cidr}"}`,
    "network.cidr: must be an IPv4 range",
  ]),
  ["network: {cidr: 10.0.0.1/7}", "network.cidr: is larger than /8"],
  ...["224.0.0.1/24", "0.0.0.1/24", "255.0.0.1/24", "169.254.169.1/24", "168.63.129.1/24", "168.0.0.1/8"].map(
    (cidr): [string, string] => [`network: {cidr: ${cidr}}`, "network.cidr: holds addresses that no guest can have"],
  ),
  ["network: {allow: [0.0.0.0/0]}", "network.allow.0: is larger than /8"],
  ...["169.254.169.254/32", "168.63.0.0/16", "127.0.0.1/32", "224.0.0.0/8", "255.255.255.255/32"].map(
    (range): [string, string] => [
      `network: {allow: [10.0.0.0/8, ${range}]}`,
      "network.allow.1: holds addresses that no guest may reach",
    ],
  ),
  ["network: {allow: [10.0.0.1]}", "network.allow.0: must be an IPv4 range"],
  ["network: {dns: {upstream: [example.org]}}", "network.dns.upstream.0: "],
  ["vm: {vcpuCount: 0}", "vm.vcpuCount: "],
  ["vm: {memoryMib: 512}", "vm.memoryMib: "],
  ["vm: {uidBase: 0}", "vm.uidBase: "],
  ...[64_509, 65_000, 65_535].map((base): [string, string] => [
    `vm: {uidBase: ${base}}`,
    "vm.uidBase: begins a range that holds 65534",
  ]),
  ["vm: {accel: fast}", "vm.accel: "],
  ["vmm: {backend: xen}", "vmm.backend: "],
  ["vmm: {firecracker: bin/firecracker}", "vmm.firecracker: must be an absolute path"],
  ["vmm: {jailer: ./jailer}", "vmm.jailer: must be an absolute path"],
  [
    "vm: {accel: emulation}\nvmm: {backend: firecracker}",
    "vmm.backend: is firecracker, which runs guests in KVM only, and vm.accel is emulation",
  ],
  ["vmm: {firecracker: /opt/fc, jailer: /opt/fc}", "vmm.jailer: is the same file as vmm.firecracker"],
  ["session: {ttlSec: 5}", "session.ttlSec: "],
  ["session: {ttlSec: 86400}", "session.ttlSec: "],
  ["session: {maxPerUser: 0}", "session.maxPerUser: "],
  ["session: {max: 0}", "session.max: "],
  ["session: {deadlinesSec: {leased: 5}}", "session.deadlinesSec.leased: not a known field"],
  ["session: {deadlinesSec: {agent: 0}}", "session.deadlinesSec.agent: "],
  ["providers: {Oidc: {}}", "providers.Oidc: "],
  ["providers: {oidc: text}", "providers.oidc: "],
  ["history: {keepDays: -1}", "history.keepDays: "],
  ["history: {max: 0}", "history.max: "],
  ["evidence: {keepDays: -1}", "evidence.keepDays: "],
  ["evidence: {maxMib: 0}", "evidence.maxMib: "],
  ...["https://key@collector.test", "https://collector.test/?key=1", "collector.test:4318", "ftp://collector.test"].map(
    (url): [string, string] => [`telemetry: {otlpEndpoint: "${url}"}`, "telemetry.otlpEndpoint: "],
  ),
];

describe("a field that cannot be right is refused by its name, in one sentence", () => {
  test.each(REFUSED)("%s", (yaml, sentence) => {
    const [code, first, ...more] = problemOf(() => load(yaml)).split("\n");
    expect(code).toBe("config-invalid");
    expect(first).toContain(sentence);
    expect(more).toEqual([]);
  });

  test.each([
    "dataDir: /var/lib/sallyport/",
    "network: {cidr: 10.1.2.1/30}",
    "network: {cidr: 10.0.0.1/8}",
    "network: {bridge: vmbr-1.x}",
    "vm: {uidBase: 64508}",
    "network: {table: my_table}",
    "vm: {accel: kvm}\nvmm: {backend: firecracker}",
    "vm: {accel: emulation}\nvmm: {backend: auto}",
    "vmm: {backend: auto, firecracker: /opt/fc/firecracker-v1.15.1-x86_64, jailer: /opt/fc/jailer-v1.15.1-x86_64}",
    "network: {table: sallyport2}",
    "network: {cidr: 127.0.5.1/24}",
    'trustedProxy: "::1"\npublicUrl: https://sally.example.org',
    'trustedProxy: "::ffff:10.0.0.0/104"\npublicUrl: https://sally.example.org',
    "trustedProxy: 10.0.0.0/8\npublicUrl: https://sally.example.org",
    "trustedProxy: 2001:db8::/32\npublicUrl: https://sally.example.org",
    "telemetry: {otlpEndpoint: http://127.0.0.1:4318}",
    "session: {deadlinesSec: {kernel: 5, browser: 60}}",
  ])("%s is accepted", (yaml) => {
    expect(problemOf(() => load(yaml))).toBe("accepted");
  });
});

test.each(["a pipe, which nobody may ever write", "a folder"])("the file is %s: refused", (what) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-config-"));
  const file = what === "a folder" ? folder : join(folder, "pipe");
  if (file !== folder) execFileSync("mkfifo", [file]);
  expect(problemOf(() => loadConfig(noEnv, file))).toMatch(/^config-unreadable\n.*no regular file/);
});

describe("publicUrl", () => {
  test.each([
    "http://127.evil.test",
    "http://127.0.0.1.evil.test",
    "http://localhost.evil.test",
    "http://localhost.",
    "http://[::ffff:127.0.0.1]",
    "http://0.0.0.0",
    "http://128.0.0.1",
  ])("%s is another machine: plain http is refused", (url) => {
    expect(problemOf(() => load(`publicUrl: "${url}"`))).toMatch(/^config-insecure\n/);
  });

  test.each([
    ["http://127.9.9.9:80/", "http://127.9.9.9"],
    ["HTTP://LOCALHOST:4000", "http://localhost:4000"],
    ["http://[::1]:4000", "http://[::1]:4000"],
    ["http://0x7f.1:4000", "http://127.0.0.1:4000"],
    ["https://Sally.Example.org:443/", "https://sally.example.org"],
  ])("%s is the origin %s, as browsers say it", (url, origin) => {
    expect(load(`publicUrl: "${url}"`).publicUrl).toBe(origin);
  });
});

test.each([
  ["dataDir: [\n", "Correct that line."],
  [undefined, "Name a file that is there and that you may read: --config, or SALLYPORT_CONFIG."],
])("a file that cannot be read says what to do about it: %j", (text, hint) => {
  const file = join(mkdtempSync(join(tmpdir(), "sallyport-config-")), "config.yaml");
  if (text !== undefined) writeFileSync(file, text);
  expect(() => loadConfig(noEnv, file)).toThrow(expect.objectContaining({ code: "config-unreadable", hint }));
});
