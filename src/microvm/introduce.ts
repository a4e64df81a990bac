/** The guest's agent learns who it is: the last step of the stage `agent`, and in a clone all of `identity`. */
import { randomBytes } from "node:crypto";
import { GUEST_PROTOCOL, type GuestParams } from "../contract/guest.ts";
import type { StartStage } from "../contract/session.ts";
import { AppError } from "../lib/errors.ts";
import { oneLine } from "../lib/terminal.ts";
import { failWhenExited, failWhenFlooding, failWith, MicrovmFailure } from "./failure.ts";
import type { WatchOptions } from "./watch.ts";

export interface GreetOptions extends Pick<WatchOptions, "channel" | "process" | "signal"> {
  /** For each question. */
  timeoutMs: number;
}

export interface IntroduceOptions extends GreetOptions {
  configure: () => GuestParams<"configure">;
}

export interface IntroduceCloneOptions extends IntroduceOptions {
  /** A former controller was told that its random generators are new: it may have its session since, and would refuse. */
  isRenewed: boolean;
  /** Told that they are, before it learns who it is. */
  onRenewed: () => Promise<void>;
}

/** The agent speaks our protocol. Throws MicrovmFailure `agent-protocol`, or the channel's own; or the signal's reason. */
export const greet = (options: GreetOptions): Promise<void> =>
  telling("agent", options, async ({ channel, timeoutMs, signal }) => {
    const hello = await channel.call("hello", { protocol: GUEST_PROTOCOL }, { timeoutMs, signal });
    if (hello.protocol !== GUEST_PROTOCOL) throw otherProtocol(hello);
  });

/**
 * As `greet`, and the agent gets its identity: name, clock, resolver, session. Throws MicrovmFailure `identity-refused`,
 * `identity-not-taken` besides.
 */
export const introduce = async (options: IntroduceOptions): Promise<void> => {
  await greet(options);
  await telling("agent", options, tellIdentity);
};

/**
 * Of a clone, before its TAP joins the bridge: each random generator that it has from its template is made new, and only then does it
 * learn who it is. Throws MicrovmFailure `clone-not-renewed`: it may have another clone's keys, and must not be used; and as `introduce`.
 */
export const introduceClone = async (options: IntroduceCloneOptions): Promise<void> => {
  if (!options.isRenewed) {
    await telling("identity", options, renew);
    await options.onRenewed();
  }
  await telling("identity", options, tellIdentity);
};

/** No word is no acknowledgement. */
const NO_RENEWAL = ["guest-refused", "channel-timeout"];

const renew = async ({ channel, timeoutMs, signal }: IntroduceOptions): Promise<void> => {
  const entropy = randomBytes(64).toString("base64");
  await channel.call("renew", { entropy }, { timeoutMs, signal }).catch((error: unknown) => {
    throw error instanceof AppError && NO_RENEWAL.includes(error.code) ? notRenewed(error) : error;
  });
};

const tellIdentity = async ({ channel, configure, timeoutMs, signal }: IntroduceOptions): Promise<void> => {
  await channel.call("configure", { ...configure(), clockMs: Date.now() }, { timeoutMs, signal });
};

const telling = async <Options extends GreetOptions>(
  stage: StartStage,
  options: Options,
  tell: (options: Options) => Promise<void>,
): Promise<void> => {
  try {
    await tell(options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof MicrovmFailure) throw error;
    await failWhenExited(options.process, stage);
    failWhenFlooding(options.channel, stage);
    if (error instanceof AppError && error.code === "guest-refused") throw refused(stage, error);
    if (error instanceof AppError && error.code === "channel-timeout") throw notTaken(stage, error);
    failWith(error, stage, "Read the console (sallyport console <session>), and build the image again.");
  }
};

const otherProtocol = (hello: { protocol: number; agentVersion: string }): MicrovmFailure =>
  new MicrovmFailure("agent", {
    code: "agent-protocol",
    sentence: `The image's agent speaks protocol ${hello.protocol}, this controller ${GUEST_PROTOCOL}.`,
    hint: "Build the image again: sallyport image build.",
    evidence: [`agent version ${oneLine(hello.agentVersion)}`],
    isSymptom: false,
  });

const refused = (stage: StartStage, error: AppError): MicrovmFailure =>
  new MicrovmFailure(stage, {
    code: "identity-refused",
    sentence: "The guest's agent was there, but refused its identity: name, clock, resolver and session.",
    hint: "The evidence has its reason. An image of another version may be the cause: sallyport image build.",
    evidence: [error.message],
    cause: error,
  });

const notTaken = (stage: StartStage, error: AppError): MicrovmFailure =>
  new MicrovmFailure(stage, {
    code: "identity-not-taken",
    sentence: "The guest's agent answered once, and then no more when it was told its identity.",
    hint: "The guest is overloaded or hangs: read its console (sallyport console <session>), and give it more processors (vm.vcpuCount).",
    evidence: [error.message],
    cause: error,
  });

const notRenewed = (error: AppError): MicrovmFailure =>
  new MicrovmFailure("identity", {
    code: "clone-not-renewed",
    sentence: "The restored guest did not make its random generators new: it could have the keys of another one.",
    hint: "It was thrown away. Make another warm snapshot: sallyport image warm.",
    evidence: [error.message],
    isSymptom: false,
    cause: error,
  });
