import { zstdDecompressSync } from "node:zlib";
import { AppError, messageOf } from "../lib/errors.ts";

// Linux x86 boot protocol, Documentation/arch/x86/boot.rst: offsets into the setup header.
const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const ZSTD_MAGIC = 0xfd2fb528;

/**
 * Takes the ELF kernel out of a bzImage whose payload is zstd, as Debian's are. Both VMMs boot an ELF kernel; Firecracker
 * releases boot nothing else. Throws AppError `kernel-unusable`.
 */
export const extractVmlinux = (bzImage: Buffer): Buffer => {
  if (bzImage.length < PAYLOAD_LENGTH + 4 || bzImage.toString("latin1", MAGIC, MAGIC + 4) !== "HdrS") {
    throw unusable("it is no x86 bzImage");
  }
  const protectedMode = ((bzImage[SETUP_SECTORS] || 4) + 1) * 512;
  const start = protectedMode + bzImage.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + bzImage.readUInt32LE(PAYLOAD_LENGTH);
  if (end > bzImage.length || end - start < 8) throw unusable("it is cut off");
  if (bzImage.readUInt32LE(start) !== ZSTD_MAGIC) throw unusable("its payload is not compressed with zstd");

  // The kernel's build appends the uncompressed size, four bytes that are no zstd frame.
  const vmlinux = decompress(bzImage.subarray(start, end - 4));
  if (vmlinux.toString("latin1", 0, 4) !== "\x7fELF") throw unusable("its payload is no ELF file");
  return vmlinux;
};

const decompress = (payload: Buffer): Buffer => {
  try {
    return zstdDecompressSync(payload);
  } catch (error) {
    throw unusable(`its payload does not decompress (${messageOf(error)})`);
  }
};

const unusable = (why: string): AppError =>
  new AppError("unprocessable", "kernel-unusable", `The kernel of the base system cannot be used: ${why}.`, {
    hint: "Use Debian's own cloud kernel: leave other kernels out of the recipe.",
  });
