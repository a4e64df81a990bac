import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { packEvidence } from "../../diagnosis/evidence-archive.ts";
import { readEvidence } from "../../diagnosis/evidence.ts";
import { AppError, messageOf } from "../../lib/errors.ts";
import { dataPaths } from "../../lib/paths.ts";
import type { CliContext } from "../context.ts";

/** Sessions' ids are asked for by people: what is none must not name a folder. */
const SESSION_ID = /^ses_[0-9a-z]+$/;

export const addEvidence = (program: Command, context: CliContext): void => {
  program
    .command("evidence <session>")
    .description("everything known of a session in one file, without secrets; also after it is over")
    .option("-o, --output <file>", "where to write it (default: SESSION.tar.zst)")
    .action(async (sessionId: string, options: { output?: string }) => {
      const file = options.output ?? `${sessionId}.tar.zst`;
      const archive = await context
        .client()
        .evidence(sessionId)
        .catch(async (error: unknown) => (await fromDisk(sessionId, error, context)) ?? Promise.reject(error));
      await writeFile(file, archive, { mode: 0o600 }).catch((cause: unknown) => {
        const sentence = `${file} cannot be written: ${messageOf(cause)}.`;
        const hint = "Give another place with -o FILE.";
        throw new AppError("invalid", "output-unwritable", sentence, { hint, cause });
      });
      context.out.result({ sessionId, file, bytes: archive.length }, () => [
        `${file}: ${Math.ceil(archive.length / 1024)} KiB. Unpack it: tar --zstd -xf ${file}`,
      ]);
    });
};

/** Evidence outlives the controller: whoever may read the local data directory needs none. Undefined when that is not the case. */
const fromDisk = async (sessionId: string, error: unknown, context: CliContext): Promise<Uint8Array | undefined> => {
  const isUnreachable = error instanceof AppError && error.code === "controller-unreachable";
  const config = isUnreachable && SESSION_ID.test(sessionId) ? context.operatorConfig() : undefined;
  const files = config && (await readEvidence(dataPaths(config.dataDir), sessionId));
  return files && packEvidence(sessionId, files);
};
