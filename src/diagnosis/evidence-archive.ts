/** Evidence as one file that can be sent to somebody: a tar compressed with zstd. */
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import { tar } from "../lib/tar.ts";
import type { EvidenceFile } from "./evidence.ts";

/** Unpacks to a folder named after the session: `tar --zstd -xf FILE`. Evidence is bounded to a few MiB, so it is made in memory. */
export const packEvidence = async (sessionId: string, files: EvidenceFile[]): Promise<Buffer> => {
  const entries = files.map(({ name, content }) => ({ name: `${sessionId}/${name}`, content }));
  return promisify(zstdCompress)(tar(entries, new Date()));
};
