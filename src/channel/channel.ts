/** Host end of the guest channel. The guest end is guest/channel.ts; the words are contract/guest.ts. */
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";

export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface GuestChannel {
  /**
   * One request, one schema-checked answer. Throws AppError: `channel-timeout` (no answer), `channel-closed`,
   * `channel-garbage` (answer not of the method's shape), `guest-refused` (the agent answered with an error).
   */
  call<M extends GuestMethod>(method: M, params: GuestParams<M>, options: CallOptions): Promise<GuestResult<M>>;
  /** Lines that were no answer to anything asked, since the channel was opened. */
  readonly garbageCount: number;
  close(): void;
}
