/** What one stranger, one reader or one connection may cost the controller. Tests give smaller numbers. */
export const LIMITS = {
  /** TCP connections at once, of all addresses and of one (IPv6: of one /64); a trusted proxy counts against the first alone. */
  connections: 1024,
  connectionsPerAddress: 128,
  /** Connections at once over the Unix socket, which those over TCP cannot use up. */
  socketConnections: 256,
  /** Milliseconds for a TLS handshake, for a request's head, and for head and body together. */
  handshakeMs: 10_000,
  headMs: 10_000,
  requestMs: 20_000,
  /** Milliseconds between two looks for requests that take longer. */
  lookMs: 2000,
  /** Milliseconds that a connection may wait for its next request. */
  idleMs: 10_000,
  /** Milliseconds in which nothing moves on a connection, answers included, until it is closed; longer than any call takes. */
  silentMs: 120_000,
  /** Requests of one connection that are answered at once. */
  pipelined: 8,
  /** Characters of a parameter in a path; a session's id has 30. */
  pathParameter: 64,
  /** Bytes of a body: of an ordinary call, of one with a tool's URL, of one with a sealed answer. */
  bodyBytes: 4 * 1024,
  urlBodyBytes: 32 * 1024,
  answerBodyBytes: 256 * 1024,
  /** Bytes of one message of a viewer. */
  screenMessageBytes: 1024 * 1024,
  /** Streams of one session that are open at once, events and console together; each costs a socket. */
  streamsPerSession: 32,
  /** Bytes of a stream that wait for its reader; nothing more is made until they are gone. */
  unreadStreamBytes: 64 * 1024,
  /** Milliseconds between two signs of life on a stream that has nothing to say; also the look whether its key was revoked. */
  heartbeatMs: 15_000,
};

export type Limits = typeof LIMITS;
