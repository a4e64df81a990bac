/** Single fields of the configuration: what each may be, and the sentence for what it may not. */
import { isIP } from "node:net";
import { z } from "zod";
import { overlaps, parseAddress, parseRange } from "../lib/ipv4.ts";
import { withoutUser } from "../lib/redact.ts";
import { resolverUid, vmmUids } from "../lib/user-range.ts";

/** Linux allows a socket's path 107 bytes; the longest name that we make below the data directory has 37 (`/vms/…/run/…`). */
const MAX_DATA_DIR = 70;

/** A schema with one more thing to be judged when all else is right: the fault in words, or undefined. */
const judged = <Schema extends z.ZodType<string>>(schema: Schema, faultOf: (text: string) => string | undefined) =>
  schema.transform((text, context) => {
    const fault = faultOf(text);
    if (fault !== undefined) context.addIssue(fault);
    return text;
  });

/** No comma or space either: the path is part of other programs' arguments. A slash at the end is left out. */
export const absolutePath = judged(
  z
    .string()
    .max(MAX_DATA_DIR, `may have ${MAX_DATA_DIR} characters at most: the names of sockets are made of it`)
    .regex(
      /^(\/[\w.@+-]+)+\/?$/,
      "must be an absolute path such as /var/lib/sallyport, of letters, digits and . _ @ + -",
    ),
  (path) => (/\/\.{1,2}(\/|$)/.test(path) ? "must be an absolute path without . and .." : undefined),
).transform((path) => path.replace(/\/$/, ""));

/** Of a file that we only read. */
export const filePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\p{Cc}]+$/u, "must be an absolute path");

export type Listen = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** `address:port`, `[IPv6]:port`, `localhost:port` or `unix:/path`. */
export const listen = z.string().transform((text, context): Listen => {
  if (text.startsWith("unix:")) {
    const path = absolutePath.safeParse(text.slice("unix:".length));
    if (path.success) return { kind: "unix", path: path.data };
  }
  const [, bracketed, plain, digits] = /^(?:\[([^\]%]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const isHost = bracketed === undefined ? isIP(plain ?? "") === 4 || plain === "localhost" : isIP(bracketed) === 6;
  if (isHost && port >= 1 && port <= 65_535) {
    // One address: for a name with two, the framework would make a second server that has none of our bounds.
    const host = plain === "localhost" ? "127.0.0.1" : bracketed ? canonicalV6(bracketed) : (plain ?? "");
    return { kind: "tcp", host, port };
  }
  context.addIssue(`"${text}" is neither address:port, such as 127.0.0.1:4000 or [::1]:4000, nor unix:/path`);
  return z.NEVER;
});

/** An IPv6 address as it is written in one way only. */
const canonicalV6 = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1);

/** `http(s)://host[:port]` as browsers say it in `Origin`; its host may be written in any way that means the same. */
export const origin = z.string().transform((text, context): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url !== undefined && /^https?:\/\//i.test(text) && /^https?:$/.test(url.protocol);
  if (isWeb && url.pathname === "/" && `${url.search}${url.hash}${url.username}${url.password}` === "")
    return url.origin;
  context.addIssue(`must be http(s)://host or http(s)://host:port and nothing more: "${withoutUser(text)}"`);
  return z.NEVER;
});

/** `host` as in `new URL(…).hostname` or in `listen`: an address of this machine that no network leads to. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || (isIP(host) === 4 && host.startsWith("127."));

/** An IPv4 range that may have host bits set; never so large that it stands for the whole internet. */
export const ipv4Range = judged(z.cidrv4("must be an IPv4 range such as 10.1.2.0/24"), (range) =>
  parseRange(range).prefixLength < 8 ? "is larger than /8: that is not a network of yours but the internet" : undefined,
);

/** This host's own, a cloud's metadata, or nobody's. */
const LOOPBACK = "127.0.0.0/8";
const NEVER_ALLOWED = ["0.0.0.0/8", LOOPBACK, "168.63.129.16/32", "169.254.0.0/16", "224.0.0.0/3"];

/** A private range that guests may reach all the same. */
export const allowedRange = judged(ipv4Range, (range) =>
  NEVER_ALLOWED.some((never) => overlaps(parseRange(never), parseRange(range)))
    ? "holds addresses that no guest may reach: the host's own, a cloud's metadata, or nobody's"
    : undefined,
);

/** The bridge's own address and the range that guests are leased from, which begins with its second address. */
export const bridgeCidr = judged(ipv4Range, (cidr) => {
  const { first, last, prefixLength } = parseRange(cidr);
  const own = parseAddress(cidr.split("/")[0] ?? "");
  if (prefixLength > 30 || (prefixLength === 30 && own === first + 2))
    return "has no room for a guest: /24 has 253, /30 has one";
  if (own === first || own === last) {
    return "must begin with the bridge's own address, such as 192.168.100.1/24: the first and the last of a range are nobody's";
  }
  // Loopback is odd and harms nobody.
  const isTaken = NEVER_ALLOWED.some((one) => one !== LOOPBACK && overlaps(parseRange(one), parseRange(cidr)));
  return isTaken ? "holds addresses that no guest can have: a link's own, a cloud's metadata, or nobody's" : undefined;
});

/** Who may say in X-Forwarded-* for whom it asks: an address or a range of few, never everybody. */
export const proxy = judged(
  z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], "must be the address of a reverse proxy, or a range of them"),
  (text) => {
    const [address = "", prefix = "128"] = text.split("/");
    const isV4 = isIP(address) === 4;
    // What begins with `::` holds IPv4: `::ffff:a.b.c.d/104` is a.b.c.d/8.
    const widest = isV4 ? 8 : canonicalV6(address).startsWith("::") ? 104 : 32;
    const isAll = /^([0.]+|::(ffff:0:0)?)$/.test(isV4 ? address : canonicalV6(address)) || Number(prefix) < widest;
    return isAll ? "names everybody: give the address of the reverse proxy" : undefined;
  },
);

/** Name of a bridge: of Linux, and neither one of our TAPs nor a word that sysctl has for all. */
export const bridgeName = judged(
  z.string().regex(/^[a-zA-Z][\w.-]{0,14}$/, "must be an interface's name: 1-15 of a-z A-Z 0-9 . _ -"),
  (name) => (/^(sp-.*|lo|all|default)$/.test(name) ? "is a name that something else has" : undefined),
);

/** Tables that distributions and other programs call their own; ours is emptied and removed. */
const FOREIGN_TABLES = /^(filter|nat|mangle|raw|security|firewalld|libvirt.*|docker.*|fail2ban|f2b.*|ufw.*)$/;

export const tableName = judged(z.string().regex(/^[a-z][a-z0-9_]{0,30}$/, "must be 1-31 of a-z 0-9 _"), (name) =>
  FOREIGN_TABLES.test(name)
    ? "is another program's table, and ours is emptied and removed"
    : /^sallyport|_/.test(name)
      ? undefined
      : 'must begin with "sallyport" or have a _ in it: other words may be of nft\'s own language, such as inet',
);

/** Base address of a collector; what is secret in it would be in the configuration. */
export const endpoint = judged(z.url({ protocol: /^https?$/, error: "must be an http(s) address" }).max(1024), (text) =>
  /[?#@]/.test(text) ? "may hold neither user, password nor query" : undefined,
);

/** The first of the VMMs' and the resolver's users (lib/user-range.ts), which are nobody else's. */
export const uidBase = z
  .int()
  .min(1000)
  .max(2_000_000_000)
  .refine(
    (base) => base > 65_535 || resolverUid(vmmUids(base)) < 65_534,
    "begins a range that holds 65534, which is nobody's user",
  );
