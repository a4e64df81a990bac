/** How many connections there may be, who makes room for whom, and how much is asked at once over one of them. */
import { BlockList, isIPv6, type Socket } from "node:net";
import { AppError } from "../lib/errors.ts";
import { isForSomebody } from "./auth.ts";
import type { App } from "./context.ts";
import type { Limits } from "./limits.ts";

const SAY_INTERVAL_MS = 60_000;

/** For an app whose WebSockets are registered. */
export const boundConnections = (app: App, limits: Limits, trustedProxy: string | undefined): void => {
  const isProxy = matcher(trustedProxy);
  /** By what is bounded; the oldest first. */
  const held = new Map<string, Set<Socket>>();
  const known = new WeakSet<Socket>();
  const asked = new WeakMap<Socket, number>();
  /** The connection below the TLS that a request is read from; that is the one which is held. */
  const below = new WeakMap<Socket, Socket>();
  const heldOf = (socket: Socket): Socket => below.get(socket) ?? socket;
  let isClosing = false;
  let saidAt = -Infinity;

  const say = (whose: string): void => {
    if (performance.now() - saidAt < SAY_INTERVAL_MS) return;
    saidAt = performance.now();
    const open = held.get(whose)?.size;
    app.log.warn({ whose, open }, "too many connections: those without a key are closed or refused");
  };

  /** Whoever fills the host with connections loses theirs; a request that showed a key, and a viewer, keep theirs. */
  const makeRoom = (theirs: Set<Socket>): boolean => {
    const open = [...theirs];
    const oldest = open.find((socket) => !known.has(socket)) ?? open.find((socket) => !asked.get(socket));
    if (oldest) leave(oldest);
    return oldest !== undefined;
  };

  const leave = (socket: Socket): void => {
    socket.destroy();
    for (const [whose, theirs] of held) if (theirs.delete(socket) && theirs.size === 0) held.delete(whose);
  };

  const admit = (socket: Socket): void => {
    if (isClosing) return void socket.destroy();
    const address = socket.remoteAddress;
    const bounds: [string, number][] = [];
    if (address === undefined) bounds.push(["socket", limits.socketConnections]);
    else {
      // The narrower first: who makes room in it makes room in the other.
      if (!isProxy(address)) bounds.push([networkOf(address), limits.connectionsPerAddress]);
      bounds.push(["tcp", limits.connections]);
    }
    for (const [whose, most] of bounds) {
      const theirs = held.get(whose);
      if (!theirs || theirs.size < most) continue;
      say(whose);
      if (!makeRoom(theirs)) return void socket.destroy();
    }
    for (const [whose] of bounds) held.set(whose, (held.get(whose) ?? new Set()).add(socket));
    socket.once("close", () => leave(socket));
  };

  app.server.on("connection", admit);
  // With TLS on TCP, what comes over the Unix socket is handed in here; TCP was counted before its handshake.
  app.server.on("secureConnection", (socket: Socket) => {
    if (socket.remoteAddress === undefined) return admit(socket);
    const isBelow = (other: Socket): boolean =>
      other.remotePort === socket.remotePort && other.remoteAddress === socket.remoteAddress;
    below.set(socket, [...(held.get("tcp") ?? [])].find(isBelow) ?? socket);
  });

  // Node lets go of a socket with an upgrade, and what refuses it does not always close it: broken paths run no hooks.
  const upgrading = new Map<Socket, NodeJS.Timeout>();
  app.server.on("upgrade", (_request, socket: Socket) => {
    const tooLate = setTimeout(() => socket.destroy(), limits.headMs);
    upgrading.set(socket, tooLate);
    socket.once("close", () => settle(socket));
  });
  const settle = (socket: Socket): void => {
    clearTimeout(upgrading.get(socket));
    upgrading.delete(socket);
  };
  app.websocketServer.on("connection", (_webSocket, { socket }) => {
    settle(socket);
    // A viewer's is a request that is never over.
    known.add(heldOf(socket));
    asked.set(heldOf(socket), Infinity);
  });

  // After the goodbye to the WebSockets, which nobody needs to answer.
  app.addHook("preClose", async () => {
    isClosing = true;
    for (const theirs of held.values()) for (const socket of theirs) socket.destroy();
  });

  app.addHook("onRequest", async ({ raw }, reply) => {
    const socket = heldOf(raw.socket);
    const count = (asked.get(socket) ?? 0) + 1;
    asked.set(socket, count);
    reply.raw.once("close", () => asked.set(socket, (asked.get(socket) ?? 1) - 1));
    if (count <= limits.pipelined) return;
    socket.destroy();
    throw new AppError("too-many", "too-many-requests", "Too many requests came at once over one connection.");
  });
  // Who comes this far has been let in.
  app.addHook("preParsing", async (request) => {
    if (isForSomebody(request)) known.add(heldOf(request.raw.socket));
  });
};

/** Who has one IPv6 address has a /64 of them. */
const networkOf = (address: string): string =>
  isIPv6(address) && !address.startsWith("::ffff:") ? address.split(":").slice(0, 4).join(":") : address;

/** Whether an address is in `range`: an address or a CIDR of either family. */
const matcher = (range: string | undefined): ((address: string) => boolean) => {
  if (range === undefined) return () => false;
  const list = new BlockList();
  const [network = "", bits] = range.split("/");
  const family = isIPv6(network) ? "ipv6" : "ipv4";
  list.addSubnet(network, Number(bits ?? (family === "ipv6" ? 128 : 32)), family);
  // IPv4-mapped IPv6 addresses are looked up as what they stand for.
  return (address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
};
