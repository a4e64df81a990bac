/** Configuration: one YAML file, validated whole at start, frozen, without secrets. docs/CONFIG.md is its page. */
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parse } from "yaml";
import { z } from "zod";
import { bootStage } from "../contract/session.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { formatIssues } from "../lib/issues.ts";
import type { Env } from "./env.ts";

export const DEFAULT_CONFIG_FILE = "/etc/sallyport/config.yaml";

const cidr = z.cidrv4();
const port = z.int().min(1).max(65_535);

const fileSchema = z.strictObject({
  /** `host:port`, or `unix:/path` behind a reverse proxy on this machine. */
  listen: z.string().default("127.0.0.1:4000"),
  /** What viewers type: links and the Origin check. Default: made of `listen`. */
  publicUrl: z.url({ protocol: /^https?$/ }).optional(),
  tls: z.strictObject({ certificate: z.string(), key: z.string() }).optional(),
  /** Address or range of a reverse proxy that ends TLS and sets X-Forwarded-*. */
  trustedProxy: z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]).optional(),
  dataDir: z.string().startsWith("/").default("/var/lib/sallyport"),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error"]).default("info"),
  /** Name of the image that sessions start from. */
  image: z.string().default("default"),
  network: z
    .strictObject({
      bridge: z.string().min(1).max(15).default("br0"),
      /** The bridge's own address and the range that guests are leased from. */
      cidr: cidr.default("192.168.100.1/24"),
      /** Name of our nftables table. */
      table: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,30}$/)
        .default("sallyport"),
      /** Ranges that a guest may reach although they are private. */
      allow: z.array(cidr).default([]),
      dns: z
        .strictObject({
          /** Resolvers asked for guests; empty: those of the host's /etc/resolv.conf. */
          upstream: z.array(z.ipv4()).default([]),
        })
        .prefault({}),
    })
    .prefault({}),
  vm: z
    .strictObject({
      vcpuCount: z.int().min(1).max(32).default(2),
      memoryMib: z.int().min(1024).max(65_536).default(2048),
      /** Each microVM's VMM runs as the user `uidBase + last number of its address`. */
      uidBase: z.int().min(1000).max(2_000_000_000).default(900_000),
      accel: z.enum(["auto", "kvm", "emulation"]).default("auto"),
    })
    .prefault({}),
  session: z
    .strictObject({
      ttlSec: z.int().min(60).max(3600).default(900),
      /** Seconds without an answer from http://<guest>:8080/health after which a session is given up. */
      unreachableSec: z.int().min(5).max(600).default(120),
      /** Boot stage → seconds after the stage before; what is not named keeps its own (session/stages.ts). */
      deadlinesSec: z.partialRecord(bootStage, z.int().min(1).max(3600)).default({}),
      maxPerUser: z.int().min(1).max(250).default(2),
    })
    .prefault({}),
  /** Provider name → fields laid over its recipe, e.g. `oidc: {issuer, clientId}`. */
  providers: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
  evidence: z
    .strictObject({
      keepDays: z.int().min(0).max(365).default(7),
      /** Of all sessions together; the oldest goes first. */
      maxMib: z.int().min(1).max(1_048_576).default(1024),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      /** Base address of an OpenTelemetry collector, OTLP over HTTP with JSON, e.g. http://127.0.0.1:4318. */
      otlpEndpoint: z.url({ protocol: /^https?$/ }).optional(),
    })
    .prefault({}),
});

export type ConfigFile = z.input<typeof fileSchema>;

export type Listen = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

export type Config = Readonly<
  Omit<z.output<typeof fileSchema>, "listen" | "publicUrl"> & { listen: Listen; publicUrl: string }
>;

/** Environment and file to configuration. Throws AppError `config-invalid` naming the field, `config-insecure`. */
export const loadConfig = (env: Env, file = env.configFile): Config => {
  const parsed = fileSchema.safeParse(readFile(file));
  if (!parsed.success) {
    throw new AppError("invalid", "config-invalid", `${file ?? DEFAULT_CONFIG_FILE} is not valid.`, {
      fields: formatIssues(parsed.error),
      hint: "docs/CONFIG.md lists every field.",
    });
  }
  const raw = parsed.data;
  const listen = parseListen(raw.listen);
  const config: Config = Object.freeze({
    ...raw,
    ...(env.dataDir ? { dataDir: env.dataDir } : {}),
    ...(env.logLevel ? { logLevel: fileSchema.shape.logLevel.parse(env.logLevel) } : {}),
    listen,
    publicUrl: (raw.publicUrl ?? defaultPublicUrl(listen, raw.tls !== undefined)).replace(/\/$/, ""),
  });
  refuseInsecure(config);
  return config;
};

const readFile = (file: string | undefined): unknown => {
  if (file === undefined && !existsSync(DEFAULT_CONFIG_FILE)) return {};
  const path = file ?? DEFAULT_CONFIG_FILE;
  try {
    return (parse(readFileSync(path, "utf8")) as unknown) ?? {};
  } catch (cause) {
    throw new AppError(
      "invalid",
      "config-unreadable",
      `The configuration ${path} cannot be read: ${messageOf(cause)}`,
      {
        cause,
        hint: "Give another file with --config, or leave it out for the defaults.",
      },
    );
  }
};

/** Shapes of `listen`; throws AppError `config-invalid`. */
export const parseListen = (text: string): Listen => {
  if (text.startsWith("unix:/")) return { kind: "unix", path: text.slice("unix:".length) };
  const [, host, digits] = /^\[?([^\]]+?)\]?:(\d+)$/.exec(text) ?? [];
  const number = port.safeParse(Number(digits));
  if (!host || !number.success || (isIP(host) === 0 && host !== "localhost")) {
    throw new AppError("invalid", "config-invalid", `listen: "${text}" is neither address:port nor unix:/path.`, {
      hint: 'For example listen: "127.0.0.1:4000".',
    });
  }
  return { kind: "tcp", host, port: number.data };
};

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

const defaultPublicUrl = (listen: Listen, hasTls: boolean): string => {
  if (listen.kind === "unix") return "http://localhost";
  const host = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return `${hasTls ? "https" : "http"}://${host}:${listen.port}`;
};

/** Keys, cookies and pixels must not cross a network in the clear (issue: "refused with a sentence"). */
const refuseInsecure = (config: Config): void => {
  const { listen, publicUrl, tls, trustedProxy } = config;
  const { protocol, hostname } = new URL(publicUrl);
  if (listen.kind === "tcp" && !isLoopback(listen.host) && !tls && !trustedProxy) {
    throw new AppError(
      "invalid",
      "config-insecure",
      `Sallyport will not listen on ${listen.host}:${listen.port} without encryption: keys, pairing codes and the screen would cross the network readable.`,
      {
        hint: "Give tls.certificate and tls.key, or name the reverse proxy that ends TLS as trustedProxy, or listen on 127.0.0.1 and use ssh -L.",
      },
    );
  }
  if (protocol === "http:" && (tls || trustedProxy || !isLoopback(hostname.replace(/^\[|\]$/g, "")))) {
    throw new AppError("invalid", "config-insecure", `publicUrl ${publicUrl} is not https.`, {
      hint: "Viewers type a pairing code there: give the https address that they use. Plain http is for 127.0.0.1 and localhost.",
    });
  }
};
