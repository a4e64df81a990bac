import { openIfThere } from "./open-if-there.ts";

/** The last `limit` bytes of a file as text; undefined where there is none. */
export const readEnd = async (file: string, limit: number): Promise<string | undefined> => {
  const handle = await openIfThere(file);
  if (!handle) return undefined;
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, limit);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await handle.close();
  }
};
