import { cp } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../src/lib/errors.ts";
import { dataPaths } from "../src/lib/paths.ts";

/** Lays what a controller kept of a session (console, facts) beside the logs of the run, if it kept anything. */
export const keepEvidence = async (dataDir: string, sessionId: string, logDir: string): Promise<void> => {
  try {
    await cp(dataPaths(dataDir).evidence(sessionId), join(logDir, "evidence"), { recursive: true });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
};
