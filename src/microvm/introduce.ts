/** The last step of the stage `agent`: the guest's agent learns who it is. */
import { GUEST_PROTOCOL, type GuestParams } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { oneLine } from "../lib/terminal.ts";
import { failWhenExited, failWhenFlooding, failWith, MicrovmFailure } from "./failure.ts";
import type { WatchOptions } from "./watch.ts";

export interface IntroduceOptions extends Pick<WatchOptions, "channel" | "process" | "signal"> {
  configure: () => GuestParams<"configure">;
  /** For each of the two questions. */
  timeoutMs: number;
}

/**
 * The agent speaks our protocol and gets its identity: name, clock, resolver, session. Throws MicrovmFailure `agent-protocol`,
 * `identity-refused`, `identity-not-taken`, or the channel's own; or the signal's reason.
 */
export const introduce = async (options: IntroduceOptions): Promise<void> => {
  const { channel, configure, timeoutMs, signal } = options;
  try {
    const call = { timeoutMs, signal };
    const hello = await channel.call("hello", { protocol: GUEST_PROTOCOL }, call);
    if (hello.protocol !== GUEST_PROTOCOL) throw otherProtocol(hello);
    await channel.call("configure", { ...configure(), clockMs: Date.now() }, call);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof MicrovmFailure) throw error;
    await failWhenExited(options.process, "agent");
    failWhenFlooding(channel, "agent");
    if (error instanceof AppError && error.code === "guest-refused") throw refused(error);
    if (error instanceof AppError && error.code === "channel-timeout") throw notTaken(error);
    failWith(error, "agent", "Read the console (sallyport console <session>), and build the image again.");
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

const refused = (error: AppError): MicrovmFailure =>
  new MicrovmFailure("agent", {
    code: "identity-refused",
    sentence: "The guest's agent was there, but refused its identity: name, clock, resolver and session.",
    hint: "The evidence has its reason. An image of another version may be the cause: sallyport image build.",
    evidence: [error.message],
    cause: error,
  });

const notTaken = (error: AppError): MicrovmFailure =>
  new MicrovmFailure("agent", {
    code: "identity-not-taken",
    sentence: "The guest's agent answered once, and then no more when it was told its identity.",
    hint: "The guest is overloaded or hangs: read its console (sallyport console <session>), and give it more processors (vm.vcpuCount).",
    evidence: [error.message],
    cause: error,
  });
