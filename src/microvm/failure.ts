/** How it is said that a microVM cannot go on, and why. */
import type { GuestChannel } from "../channel/channel.ts";
import type { StartStage, Verdict } from "../contract/session.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";

type Words = Pick<Verdict, "code" | "sentence" | "hint"> & { evidence?: string[] };

interface Failure extends Words {
  /** Default true: only what was noticed, and diagnosis looks for the cause behind it. */
  isSymptom?: boolean;
  cause?: unknown;
}

/** The verdict says why in plain words; `stage` is the one that was awaited, null when the browser was there. */
export class MicrovmFailure extends Error {
  override name = "MicrovmFailure";
  readonly verdict: Verdict;
  readonly isSymptom: boolean;
  constructor(stage: StartStage | null, { isSymptom = true, cause, ...words }: Failure) {
    super(words.sentence, { cause });
    this.verdict = verdictOf(stage, words);
    this.isSymptom = isSymptom;
  }
}

/** An AppError in the middle of a stage: its own words are the verdict. Throws MicrovmFailure; rethrows what nobody foresaw. */
export const failWith = (error: unknown, stage: StartStage, hint: string): never => {
  const told = toldOf(error);
  if (!told) throw error;
  throw new MicrovmFailure(stage, { code: told.code, sentence: told.message, hint: told.hint ?? hint, cause: error });
};

/** Whatever ended a microVM. What nobody foresaw is a bug of ours and no symptom of anything else: it is said as it is. */
export const failureOf = (error: unknown): MicrovmFailure => {
  if (error instanceof MicrovmFailure) return error;
  const told = toldOf(error);
  return new MicrovmFailure(null, {
    code: told?.code ?? "internal-error",
    sentence: messageOf(told ?? error),
    hint: told?.hint ?? "Read the controller's log for this session.",
    isSymptom: told !== undefined,
    cause: error,
  });
};

/** An error that has words for people; a full disk has them whoever met it. */
const toldOf = (error: unknown): AppError | undefined => {
  const full = diskFullOf(error) ?? diskFullOf(error instanceof AppError ? error.cause : undefined);
  return full ?? (error instanceof AppError ? error : undefined);
};

/** As it is noticed, now; diagnosis adds what it finds. */
export const verdictOf = (stage: StartStage | null, words: Words): Verdict => ({
  evidence: [],
  ...words,
  stage,
  at: new Date().toISOString(),
  consequences: [],
  ruledOut: [],
  anchor: null,
});

/** Throws MicrovmFailure `vmm-exited` when the process is gone. */
export const failWhenExited = async (process: ProcessIdentity, stage: StartStage | null): Promise<void> => {
  if (await isAlive(process)) return;
  throw new MicrovmFailure(stage, {
    code: "vmm-exited",
    sentence: "The virtual machine ended by itself: its process is gone.",
    hint: "The guest rebooted or crashed (see the console's last lines), or somebody killed the process; start a new sign-in.",
    evidence: [`process ${process.pid} is not there`],
  });
};

/** Nothing more is heard of a guest whose channel was closed. Throws MicrovmFailure `guest-floods`. */
export const failWhenFlooding = ({ traffic }: GuestChannel, stage: StartStage | null): void => {
  if (!traffic.isFlooding) return;
  throw new MicrovmFailure(stage, {
    code: "guest-floods",
    sentence: "The guest sent more over its channel than may be read of one, and the channel was closed.",
    hint: "Start a new sign-in.",
  });
};

/** `work` on the file of a guest's console. Throws MicrovmFailure `console-unusable` for what the system refuses of it, a full disk aside. */
export const onConsole = async <T>(work: Promise<T>, stage: StartStage | null): Promise<T> => {
  try {
    return await work;
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === undefined || diskFullOf(cause)) throw cause;
    throw new MicrovmFailure(stage, {
      code: "console-unusable",
      sentence: `The file of the guest's console cannot be read or cut on this host (${code}): it would grow without bound.`,
      hint: "See whether the data directory's disk is well (the kernel's log tells). If it is, the VMM may have been taken over: keep the evidence.",
      cause,
    });
  }
};
