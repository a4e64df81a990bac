/** Configuration: one YAML file, validated whole at start, frozen, without secrets. docs/CONFIG.md is its page. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { imageName } from "../contract/image-manifest.ts";
import { providerName } from "../contract/provider.ts";
import { startStage } from "../contract/session.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { formatIssues } from "../lib/issues.ts";
import { apiSocketOf, DEFAULT_DATA_DIR } from "../lib/paths.ts";
import { VMM_NAMES, VMMS } from "../lib/vmm-names.ts";
import type { Env } from "./env.ts";
import * as field from "./fields.ts";

const DEFAULT_CONFIG_FILE = "/etc/sallyport/config.yaml";

const logLevel = z.enum(["trace", "debug", "info", "warn", "error"]);

/** Fields that may be left out together: each has a default or needs none, which the types cannot tell for every shape. */
const section = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape).prefault({} as never);

const fileFields = z.strictObject({
  /** For viewers and other machines: `host:port`. Or `unix:/path`: the API's socket and nothing else, e.g. behind a reverse proxy. */
  listen: field.listen.prefault("127.0.0.1:4000"),
  /** What viewers type: links and the Origin check. Default: made of `listen`. */
  publicUrl: field.origin.optional(),
  tls: z.strictObject({ certificate: field.filePath, key: field.filePath }).optional(),
  /** Address or range of a reverse proxy that ends TLS and sets X-Forwarded-*. */
  trustedProxy: field.proxy.optional(),
  dataDir: field.absolutePath.prefault(DEFAULT_DATA_DIR),
  logLevel: logLevel.default("info"),
  /** Name of the image that sessions start from. */
  image: imageName.default("default"),
  network: section({
    bridge: field.bridgeName.default("br0"),
    /** The bridge's own address and the range that guests are leased from. */
    cidr: field.bridgeCidr.default("192.168.100.1/24"),
    /** Name of our nftables table. */
    table: field.tableName.default("sallyport"),
    /** Ranges that a guest may reach although they are private. */
    allow: z.array(field.allowedRange).max(100).default([]),
    /** Resolvers asked for guests; empty: those of the host's /etc/resolv.conf. */
    dns: section({ upstream: z.array(z.ipv4()).max(10).default([]) }),
  }),
  vm: section({
    vcpuCount: z.int().min(1).max(32).default(2),
    memoryMib: z.int().min(1024).max(65_536).default(2048),
    /** Each microVM's VMM runs as the user `uidBase + last number of its address`. */
    uidBase: field.uidBase.default(900_000),
    accel: z.enum(["auto", "kvm", "emulation"]).default("auto"),
  }),
  vmm: section({
    /** `auto`: Firecracker where KVM works and its programs are there, else QEMU. */
    backend: z.enum(["auto", ...VMM_NAMES]).default("auto"),
    /** Firecracker's two programs; what is not named is searched for. Root runs them: they must be root's, and writable by nobody else. */
    firecracker: field.filePath.optional(),
    jailer: field.filePath.optional(),
  }),
  /** A snapshot of a browser that waits, from which sessions start in place of a boot. */
  warm: section({
    snapshots: z.boolean().default(true),
    /** Clones of it that wait for a session each. */
    pool: z.int().min(0).max(20).default(1),
    /** What is older is made anew: all clones of one share how its memory is laid out. */
    maxAgeHours: z.int().min(1).max(720).default(24),
  }),
  session: section({
    ttlSec: z.int().min(60).max(3600).default(900),
    /** Seconds without an answer from http://<guest>:8080/health after which a session is given up. */
    unreachableSec: z.int().min(5).max(600).default(120),
    /** Boot stage → seconds after the stage before; what is not named keeps its own (microvm/stages.ts). */
    deadlinesSec: z
      .partialRecord(startStage.exclude(["leased", "vmm-up", "restored"]), z.int().min(1).max(3600))
      .default({}),
    maxPerUser: z.int().min(1).max(250).default(2),
    /** On this host, of all users together, until nothing is left of each; how many fit is doctor's to say. */
    max: z.int().min(1).max(1000).default(50),
  }),
  /** Provider name → fields laid over its recipe, e.g. `oidc: {issuer, clientId}`. */
  providers: z.record(providerName, z.record(z.string(), z.unknown())).default({}),
  /** Sessions that ended; the oldest are forgotten first. */
  history: section({
    keepDays: z.int().min(0).max(3650).default(30),
    max: z.int().min(1).max(1_000_000).default(10_000),
  }),
  evidence: section({
    keepDays: z.int().min(0).max(365).default(7),
    /** Of all sessions together; the oldest goes first. */
    maxMib: z.int().min(1).max(1_048_576).default(1024),
  }),
  /** Base address of an OpenTelemetry collector, OTLP over HTTP with JSON, e.g. http://127.0.0.1:4318. */
  telemetry: section({ otlpEndpoint: field.endpoint.optional() }),
});

/** What is right by itself, and not together. */
const fileSchema = fileFields.superRefine(({ vm, vmm }, context) => {
  if (vm.accel === "emulation" && VMMS.some(({ name, needsKvm }) => needsKvm && name === vmm.backend)) {
    const message = `is ${vmm.backend}, which runs guests in KVM only, and vm.accel is emulation: set one of them to auto`;
    context.addIssue({ code: "custom", path: ["vmm", "backend"], message });
  }
  if (vmm.firecracker !== undefined && vmm.firecracker === vmm.jailer) {
    const message = "is the same file as vmm.firecracker: they are two programs of one release";
    context.addIssue({ code: "custom", path: ["vmm", "jailer"], message });
  }
});

export type ConfigFile = z.input<typeof fileSchema>;

/** Frozen, and all that is in it. */
export type Config = Readonly<
  z.output<typeof fileSchema> & {
    /** Path of the API's Unix socket, which is always there; the local command line uses no other way. */
    socket: string;
    publicUrl: string;
  }
>;

/**
 * Environment and file to configuration. Throws AppError `config-invalid` naming each field, or the variable; `config-insecure`;
 * `config-unreadable`.
 */
export const loadConfig = (env: Env, file = env.configFile): Config => {
  const raw = check(fileSchema, readFile(file), file ?? DEFAULT_CONFIG_FILE);
  const variables = check(
    z.object({ SALLYPORT_DATA_DIR: field.absolutePath.optional(), SALLYPORT_LOG_LEVEL: logLevel.optional() }),
    { SALLYPORT_DATA_DIR: env.dataDir, SALLYPORT_LOG_LEVEL: env.logLevel },
    "The environment",
  );
  const dataDir = variables.SALLYPORT_DATA_DIR ?? raw.dataDir;
  const config: Config = freeze({
    ...raw,
    dataDir,
    socket: raw.listen.kind === "unix" ? raw.listen.path : apiSocketOf(dataDir),
    logLevel: variables.SALLYPORT_LOG_LEVEL ?? raw.logLevel,
    publicUrl: raw.publicUrl ?? defaultPublicUrl(raw.listen, raw.tls !== undefined),
  });
  refuseInsecure(config);
  return config;
};

const check = <Schema extends z.ZodType>(schema: Schema, value: unknown, source: string): z.output<Schema> => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AppError("invalid", "config-invalid", `${source} is not valid.`, {
    fields: formatIssues(parsed.error),
    hint: "docs/CONFIG.md lists every field.",
  });
};

const freeze = <T extends object>(value: T): T => {
  for (const inner of Object.values(value)) if (typeof inner === "object" && inner !== null) freeze(inner as object);
  return Object.freeze(value);
};

const readFile = (file: string | undefined): unknown => {
  if (file === undefined && !existsSync(DEFAULT_CONFIG_FILE)) return {};
  const path = file ?? DEFAULT_CONFIG_FILE;
  try {
    // A pipe would be waited for, deaf to every signal.
    if (path !== "/dev/null" && !statSync(path).isFile()) throw new Error("it is no regular file.");
    return (parse(readFileSync(path, "utf8")) as unknown) ?? {};
  } catch (cause) {
    const sentence = `The configuration ${path} cannot be read: ${messageOf(cause)}`;
    const hint =
      cause instanceof YAMLParseError
        ? "Correct that line."
        : "Name a file that is there and that you may read: --config, or SALLYPORT_CONFIG.";
    throw new AppError("invalid", "config-unreadable", sentence, { cause, hint });
  }
};

const defaultPublicUrl = (listen: field.Listen, hasTls: boolean): string => {
  if (listen.kind === "unix") return "http://localhost";
  const host = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return `${hasTls ? "https" : "http"}://${host}:${listen.port}`;
};

/** Keys, cookies and pixels must not cross a network in the clear. */
const refuseInsecure = (config: Config): void => {
  const { listen, publicUrl, tls, trustedProxy } = config;
  const { protocol, hostname } = new URL(publicUrl);
  if (listen.kind === "tcp" && !field.isLoopback(listen.host) && !tls && !trustedProxy) {
    throw insecure(
      `Sallyport will not listen on ${listen.host}:${listen.port} without encryption: keys, pairing codes and the screen would cross the network readable.`,
      "Give tls.certificate and tls.key, or name the reverse proxy that ends TLS as trustedProxy, or listen on 127.0.0.1 and use ssh -L.",
    );
  }
  if (protocol === "http:" && (tls || trustedProxy || !field.isLoopback(hostname))) {
    throw insecure(
      `publicUrl ${publicUrl} is not https.`,
      "Viewers type a pairing code there: give the https address that they use. Plain http is for 127.0.0.1 and localhost.",
    );
  }
  if (["0.0.0.0", "[::]", "[::ffff:0:0]"].includes(hostname)) {
    const sentence = `Links would lead to ${publicUrl}: every address of this machine, and no way to it from another.`;
    throw new AppError("invalid", "config-invalid", sentence, {
      hint: "Set publicUrl to the address that viewers type.",
    });
  }
};

const insecure = (sentence: string, hint: string): AppError =>
  new AppError("invalid", "config-insecure", sentence, { hint });
