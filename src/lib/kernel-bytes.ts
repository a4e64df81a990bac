import { open } from "node:fs/promises";

const SOURCE = "/dev/urandom";

/** Random bytes that the kernel makes at this moment, past every generator of this process. Throws the system's error. */
export const kernelBytes = async (length: number): Promise<Buffer> => {
  const source = await open(SOURCE);
  try {
    const { bytesRead, buffer } = await source.read(Buffer.alloc(length), 0, length, null);
    if (bytesRead !== length) throw new Error(`${SOURCE} gave ${bytesRead} of ${length} bytes`);
    return buffer;
  } finally {
    await source.close();
  }
};
