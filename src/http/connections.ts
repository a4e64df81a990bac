/** How many connections there may be, and how much is asked at once over one of them. */
import { BlockList, isIPv6, type Socket } from "node:net";
import { AppError } from "../lib/errors.ts";
import type { App } from "./context.ts";
import type { Limits } from "./limits.ts";

const SAY_INTERVAL_MS = 60_000;

/** For an app whose WebSockets are registered. */
export const boundConnections = (app: App, limits: Limits, trustedProxy: string | undefined): void => {
  const isProxy = matcher(trustedProxy);
  const counts = new Map<string, number>();
  const admitted = new Set<Socket>();
  let isClosing = false;
  let saidAt = -Infinity;

  const refuse = (socket: Socket, whose: string): void => {
    socket.destroy();
    if (performance.now() - saidAt < SAY_INTERVAL_MS) return;
    saidAt = performance.now();
    app.log.warn({ whose, open: counts.get(whose) }, "too many connections: more of them are refused");
  };

  const admit = (socket: Socket): void => {
    if (isClosing) return void socket.destroy();
    const address = socket.remoteAddress;
    const bounds: [string, number][] =
      address === undefined ? [["socket", limits.socketConnections]] : [["tcp", limits.connections]];
    if (address !== undefined && !isProxy(address)) bounds.push([networkOf(address), limits.connectionsPerAddress]);
    const full = bounds.find(([whose, most]) => (counts.get(whose) ?? 0) >= most);
    if (full) return refuse(socket, full[0]);
    for (const [whose] of bounds) counts.set(whose, (counts.get(whose) ?? 0) + 1);
    admitted.add(socket);
    socket.once("close", () => {
      admitted.delete(socket);
      for (const [whose] of bounds) {
        const left = (counts.get(whose) ?? 1) - 1;
        if (left > 0) counts.set(whose, left);
        else counts.delete(whose);
      }
    });
  };

  app.server.on("connection", admit);
  // With TLS on TCP, what comes over the Unix socket is handed in here; TCP was counted before its handshake.
  app.server.on("secureConnection", (socket: Socket) => {
    if (socket.remoteAddress === undefined) admit(socket);
  });

  // Node lets go of a socket with an upgrade, and what refuses it does not always close it: broken paths run no hooks.
  const upgrading = new Map<Socket, NodeJS.Timeout>();
  app.server.on("upgrade", (_request, socket: Socket) => {
    upgrading.set(
      socket,
      setTimeout(() => socket.destroy(), limits.headMs),
    );
    socket.once("close", () => settle(socket));
  });
  const settle = (socket: Socket): void => {
    clearTimeout(upgrading.get(socket));
    upgrading.delete(socket);
  };
  app.websocketServer.on("connection", (_webSocket, { socket }) => settle(socket));

  // After the goodbye to the WebSockets, which nobody needs to answer.
  app.addHook("preClose", async () => {
    isClosing = true;
    for (const socket of admitted) socket.destroy();
  });

  const asked = new WeakMap<Socket, number>();
  app.addHook("onRequest", async ({ raw }, reply) => {
    const { socket } = raw;
    const count = (asked.get(socket) ?? 0) + 1;
    asked.set(socket, count);
    reply.raw.once("close", () => asked.set(socket, (asked.get(socket) ?? 1) - 1));
    if (count <= limits.pipelined) return;
    socket.destroy();
    throw new AppError("too-many", "too-many-requests", "Too many requests came at once over one connection.");
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
