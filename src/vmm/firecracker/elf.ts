/** What is a program where there is nothing else, as in a jail. A file that is none, `execvp` has a shell read line by line. */
import { open } from "node:fs/promises";

/** Sizes and offsets of a 64-bit ELF header, and of the program headers that it names; see elf(5). */
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const MAX_SEGMENTS = 64;
/** Magic number, 64 bits, little-endian. */
const IDENT = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const EXECUTABLE = [2, 3];
const X86_64 = 62;
/** Type of the segment that names a loader. */
const INTERPRETER = 3;

/**
 * What keeps a file from being a whole program for x86-64 that needs no other, as the rest of a sentence; undefined where nothing does.
 * Throws system errors.
 */
export const faultOfProgram = async (file: string): Promise<string | undefined> => {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const read = async (position: number, length: number): Promise<Buffer> =>
      (await handle.read({ buffer: Buffer.alloc(length), position })).buffer;
    const header = await read(0, HEADER_BYTES);
    const segments = header.readUInt16LE(56);
    const isProgram =
      header.subarray(0, IDENT.length).equals(IDENT) &&
      EXECUTABLE.includes(header.readUInt16LE(16)) &&
      header.readUInt16LE(18) === X86_64 &&
      header.readUInt16LE(54) === SEGMENT_BYTES &&
      segments > 0 &&
      segments <= MAX_SEGMENTS;
    if (!isProgram) return `is no program for x86-64${looksLike(header)}`;
    const table = offsetIn(header, 32);
    const programHeaders = await read(Math.min(table, size), segments * SEGMENT_BYTES);
    const each = Array.from({ length: segments }, (_, index) => programHeaders.subarray(index * SEGMENT_BYTES));
    const ends = each.map((segment) => offsetIn(segment, 8) + offsetIn(segment, 32));
    const sections = offsetIn(header, 40) + header.readUInt16LE(58) * header.readUInt16LE(60);
    const isWhole = Math.max(...ends, sections, table + segments * SEGMENT_BYTES) <= size;
    if (!isWhole) return "is only the beginning of a program, as of a download that broke off";
    return each.some((segment) => segment.readUInt32LE(0) === INTERPRETER)
      ? "needs a loader and libraries (it is linked dynamically), and in its jail are none"
      : undefined;
  } finally {
    await handle.close();
  }
};

const offsetIn = (buffer: Buffer, at: number): number => Number(buffer.readBigUInt64LE(at));

/** What else people put in a program's place. */
const looksLike = (head: Buffer): string => {
  const text = head.toString("latin1").trimStart();
  if (text.startsWith("#!")) return ", but a script, and in its jail is nothing that runs one";
  if (text.startsWith("<")) return ", but a web page";
  if (text.startsWith("\u001f\u008b")) return ", but an archive that has to be unpacked";
  return head.subarray(0, 4).equals(IDENT.subarray(0, 4)) ? ", but one for another machine" : "";
};
