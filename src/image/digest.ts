import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

/** `sha256:<hex>` of bytes or text. */
export const digestOf = (content: string | Uint8Array): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`;

/** `sha256:<hex>` of any JSON value, whatever the order of its keys. */
export const digestOfValue = (value: unknown): string => digestOf(canonicalize(value) ?? "");

export const digestOfFile = async (path: string, signal?: AbortSignal): Promise<string> => {
  const hash = createHash("sha256");
  const source = createReadStream(path, { highWaterMark: 1024 * 1024 });
  await pipeline(source, hash, signal ? { signal } : {});
  return `sha256:${hash.digest("hex")}`;
};

/** An image's own digest: what it consists of and what was asked for. */
export const imageDigest = (parts: { rootfs: string; vmlinux: string; initrd: string; recipe: string }): string =>
  digestOfValue(parts);

export const hexOf = (digest: string): string => digest.slice("sha256:".length);

/** A digest in the form that mkfs.ext4 takes as UUID (version 8: contents of our own making). */
export const uuidOf = (digest: string): string => {
  const hex = hexOf(digest);
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-8$3-8$4-$5");
};
