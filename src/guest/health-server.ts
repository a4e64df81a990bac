import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** The one thing the guest offers to the network: proof that the host can reach it. Tells nothing, takes nothing. */
export const startHealthServer = async (port: number) => {
  const server = createServer({ requestTimeout: 5000, keepAliveTimeout: 1000 }, (request, response) => {
    request.resume();
    const isKnown = request.method === "GET" && request.url === "/health";
    response.writeHead(isKnown ? 200 : 404, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(isKnown ? '{"status":"ok"}' : '{"status":"not found"}');
  });
  server.maxConnections = 32;
  return { port: await listenOn(server, port, "0.0.0.0"), close: async () => closeServer(server) };
};

/** Resolves with the port, which the kernel chose if 0 was asked for. */
export const listenOn = async (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host, ipv6Only: host.includes(":") }, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });

/** Stops listening and ends every connection, also those with an answer still owed. */
export const closeServer = async (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
