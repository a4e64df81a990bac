import { describe, expect, test } from "vitest";
import { zstdCompressSync } from "node:zlib";
import { extractVmlinux } from "./vmlinux.ts";

const ELF = Buffer.concat([Buffer.from("\x7fELF"), Buffer.alloc(5000, 7)]);

/** A bzImage of two setup sectors whose payload is `payload`, as the kernel's build lays it out. */
const bzImage = (payload: Buffer): Buffer => {
  const head = Buffer.alloc(3 * 512 + 64);
  head[0x1f1] = 2;
  head.write("HdrS", 0x202, "latin1");
  head.writeUInt32LE(64, 0x248);
  head.writeUInt32LE(payload.length + 4, 0x24c);
  return Buffer.concat([head, payload, Buffer.alloc(4), Buffer.alloc(100)]);
};

describe("extractVmlinux", () => {
  test("takes the ELF file out", () => {
    expect(extractVmlinux(bzImage(zstdCompressSync(ELF))).equals(ELF)).toBe(true);
  });

  test.each([
    ["no bzImage", Buffer.alloc(2000), "it is no x86 bzImage"],
    ["an empty file", Buffer.alloc(0), "it is no x86 bzImage"],
    ["a cut file", bzImage(zstdCompressSync(ELF)).subarray(0, 1620), "it is cut off"],
    ["another compression", bzImage(Buffer.from("1f8b0800000000000000", "hex")), "not compressed with zstd"],
    ["a broken payload", bzImage(Buffer.from("28b52ffd00000000ffffffff", "hex")), "does not decompress"],
    ["a payload that is no ELF", bzImage(zstdCompressSync(Buffer.from("hello world"))), "no ELF file"],
  ])("refuses %s with a sentence", (_what, image, sentence) => {
    expect(() => extractVmlinux(image)).toThrow(
      expect.objectContaining({ code: "kernel-unusable", message: expect.stringContaining(sentence) }),
    );
  });
});
