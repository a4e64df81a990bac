/** What is kept of a microVM: bounded, without secrets, readable long after it and its controller are gone. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { olderLog } from "../channel/call-log.ts";
import type { Diagnosis, Facts } from "../contract/diagnosis.ts";
import type { StageRecord, Verdict } from "../contract/session.ts";
import { messageOf } from "../lib/errors.ts";
import type { DataPaths, VmPaths } from "../lib/paths.ts";
import { readEnd } from "../lib/read-end.ts";
import { redactText, redactValue } from "../lib/redact.ts";
import { createTerminalFilter } from "../lib/terminal.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { boundConsole, CONSOLE_LIMIT_BYTES } from "../vmm/console.ts";

export interface EvidenceInput {
  /** Session and microVM in a few words: ids, provider, state, times. */
  about: Record<string, unknown>;
  vm: VmPaths;
  stages: StageRecord[];
  verdict: Verdict | null;
  /** Null when nobody looked: a session that ended well. */
  facts: Facts | null;
  diagnosis: Diagnosis | null;
  /** The configuration without what it says of the host's files. */
  config: unknown;
  versions: Record<string, string>;
}

export interface EvidenceFile {
  name: string;
  content: Buffer;
}

/** Of a VMM's log: its end, where it says why it stopped. */
const VMM_LOG_BYTES = 256 * 1024;
const CONSOLE = "console.log";

/** All files of one session's evidence, every text of them redacted. */
export const collectEvidence = async (input: EvidenceInput): Promise<EvidenceFile[]> => {
  const { vm } = input;
  const logs = {
    [CONSOLE]: await orWhyNot(boundConsole(vm.console).then(() => readEnd(vm.console, CONSOLE_LIMIT_BYTES))),
    "vmm.log": await orWhyNot(readEnd(vm.vmmLog, VMM_LOG_BYTES)),
    "channel.log": await orWhyNot(readAll(olderLog(vm.channelLog), vm.channelLog)),
  };
  return [
    jsonFile("about.json", input.about),
    jsonFile("versions.json", input.versions),
    jsonFile("config.json", input.config),
    jsonFile("stages.json", input.stages),
    jsonFile("verdict.json", { verdict: input.verdict, diagnosis: input.diagnosis }),
    jsonFile("facts.json", input.facts),
    ...Object.entries(logs).flatMap(([name, text]) => (text === undefined ? [] : [logFile(name, text)])),
  ];
};

/**
 * Writes `<data>/evidence/<session>/`, whole or not at all. What was kept of it before is replaced, but not by less: a session that is
 * ended for a second time, after a crash, has lost its console.
 */
export const keepEvidence = async (paths: DataPaths, sessionId: string, input: EvidenceInput): Promise<void> => {
  const folder = paths.evidence(sessionId);
  const files = await collectEvidence(input);
  const has = (names: string[]): boolean => names.includes(CONSOLE);
  if (has(await unlessMissing(readdir(folder), [])) && !has(files.map(({ name }) => name))) return;
  const beside = `${folder}.new`;
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { recursive: true, mode: 0o700 });
  try {
    for (const { name, content } of files) await writeFile(join(beside, name), content, { mode: 0o600, flush: true });
    await rm(folder, { recursive: true, force: true });
    await rename(beside, folder);
  } catch (error) {
    // Half of it on a full disk is worth less than the space.
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
};

/** What is kept of a session, or undefined. */
export const readEvidence = async (paths: DataPaths, sessionId: string): Promise<EvidenceFile[] | undefined> => {
  const folder = paths.evidence(sessionId);
  const names = await unlessMissing(readdir(folder), undefined);
  if (!names || names.length === 0) return undefined;
  return Promise.all(names.toSorted().map(async (name) => ({ name, content: await readFile(join(folder, name)) })));
};

/** The kept console, or undefined. */
export const readKeptConsole = async (paths: DataPaths, sessionId: string): Promise<Buffer | undefined> =>
  unlessMissing(readFile(join(paths.evidence(sessionId), CONSOLE)), undefined);

/** What of one file cannot be read costs none of the others. */
const orWhyNot = (text: Promise<string | undefined>): Promise<string | undefined> =>
  text.catch((error: unknown) => `[sallyport: not to be read: ${messageOf(error)}]\n`);

const jsonFile = (name: string, value: unknown): EvidenceFile => ({
  name,
  content: Buffer.from(`${JSON.stringify(redactValue(value), undefined, 2)}\n`),
});

/** Colours stay; what else could steer the terminal of who reads it later goes, before it can split what is to be redacted. */
const logFile = (name: string, text: string): EvidenceFile => {
  const filter = createTerminalFilter({ canColour: true });
  return { name, content: Buffer.from(redactText(filter.push(text)) + filter.end()) };
};

const readAll = async (...files: string[]): Promise<string | undefined> => {
  const texts = await Promise.all(files.map((file) => unlessMissing(readFile(file, "utf8"), undefined)));
  const found = texts.filter((text) => text !== undefined);
  return found.length === 0 ? undefined : found.join("");
};
