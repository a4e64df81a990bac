/** What one stranger, one reader or one connection may cost the controller. Tests give smaller numbers. */
export const LIMITS = {
  /** Milliseconds in which nothing moves on a connection, answers included, until it is closed; longer than any call takes. */
  silentConnectionMs: 120_000,
  /** Streams of one session that are open at once, events and console together; each costs a socket. */
  streamsPerSession: 32,
  /** Bytes of a stream that wait for its reader; nothing more is made until they are gone. */
  unreadStreamBytes: 64 * 1024,
  /** Milliseconds between two signs of life on a stream that has nothing to say; also the look whether its key was revoked. */
  heartbeatMs: 15_000,
};

export type Limits = typeof LIMITS;
