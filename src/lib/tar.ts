/** Files in memory to a tar archive (POSIX ustar): plain files of root's, no folders, links or long names. */

export interface TarFile {
  /** At most 100 bytes, with slashes for folders. */
  name: string;
  content: Uint8Array;
}

const BLOCK = 512;

/** Throws RangeError for a name that is too long. */
export const tar = (files: TarFile[], modifiedAt: Date): Buffer =>
  Buffer.concat([
    ...files.flatMap(({ name, content }) => [
      header(name, content.length, modifiedAt),
      content,
      Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
    ]),
    Buffer.alloc(2 * BLOCK),
  ]);

/** Fields by offset, as `struct posix_header` has them; numbers are octal text. */
const header = (name: string, size: number, modifiedAt: Date): Buffer => {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long for a tar header`);
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0);
  block.write("0000600\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${octal(size)}\0`, 124);
  block.write(`${octal(Math.floor(modifiedAt.getTime() / 1000))}\0`, 136);
  block.write("0", 156);
  block.write("ustar\u000000", 257);
  // Summed up with the checksum's own eight bytes as spaces.
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
};

const octal = (value: number): string => value.toString(8).padStart(11, "0");
