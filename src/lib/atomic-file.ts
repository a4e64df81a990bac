import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** The whole text or the file as it was, also after power loss: written beside it, forced to the disk, then renamed. */
export const writeFileAtomically = (file: string, text: string | Buffer, mode = 0o600): void => {
  const beside = `${file}.${process.pid}.tmp`;
  withFile(beside, "w", mode, (descriptor) => {
    writeSync(descriptor, typeof text === "string" ? Buffer.from(text) : text);
    fsyncSync(descriptor);
  });
  renameSync(beside, file);
  withFile(dirname(file), "r", undefined, fsyncSync);
};

const withFile = (path: string, flags: string, mode: number | undefined, use: (descriptor: number) => void): void => {
  const descriptor = openSync(path, flags, mode);
  try {
    use(descriptor);
  } finally {
    closeSync(descriptor);
  }
};
