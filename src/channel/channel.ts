/** Host end of the guest channel. The guest's end is guest/port.ts and guest/server.ts; the words are contract/guest.ts. */
import type { ChannelTraffic } from "../contract/diagnosis.ts";
import type { GuestMethod, GuestParams, GuestResult } from "../contract/guest.ts";

export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface GuestChannel {
  /**
   * One request, one schema-checked answer. Throws AppError: `channel-timeout` (no answer), `channel-closed`,
   * `channel-garbage` (answer not of the method's shape), `guest-refused` (the agent answered with an error), `guest-floods` (the
   * guest cost so much that the channel was closed).
   */
  call<M extends GuestMethod>(method: M, params: GuestParams<M>, options: CallOptions): Promise<GuestResult<M>>;
  /** What the guest sent and cost since the channel was opened. */
  readonly traffic: ChannelTraffic;
  close(): void;
}
