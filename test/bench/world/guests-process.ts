/**
 * All guests of a bench's world, in one process that is not the controller's: 8080 and the screen on every address, and a socket where
 * each connection names its microVM's config.json first and is that guest's channel then. Argument: a folder.
 */
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { GUEST_PORTS } from "../../../src/contract/guest.ts";
import { startFakeGuest } from "../../fixtures/fake-guest.ts";
import { serveScreen } from "./screen.ts";

const [, , folder = "."] = process.argv;
const guests = new Map<string, Promise<unknown>>();

const channelOf = async (config: string): Promise<string> => {
  const { vmId, address } = (JSON.parse(readFileSync(config, "utf8")) as { spec: { vmId: string; address: string } })
    .spec;
  const channelPath = join(folder, vmId);
  // What the network asks of it is answered below, for all.
  const behaviour = { hasNoHealth: true, hasNoDisplay: true };
  const silent = { consoleFile: "/dev/null", callsFile: "/dev/null" };
  if (!guests.has(vmId)) guests.set(vmId, startFakeGuest({ ...silent, channelPath, address, behaviour }));
  await guests.get(vmId);
  return channelPath;
};

createHttpServer((_request, reply) => reply.end("ok")).listen(GUEST_PORTS.health, "0.0.0.0");
createServer(serveScreen).listen(GUEST_PORTS.rfb, "0.0.0.0");
createServer((socket) => {
  socket
    .on("error", () => {})
    .once("data", (chunk) => {
      const end = chunk.indexOf("\n");
      socket.pause();
      channelOf(chunk.toString("utf8", 0, end)).then(
        (path) => {
          const guest = connect(path);
          guest.on("error", () => {}).once("close", () => socket.destroy());
          socket.once("close", () => guest.destroy());
          guest.write(chunk.subarray(end + 1));
          socket.pipe(guest).pipe(socket);
        },
        () => socket.destroy(),
      );
    });
}).listen(join(folder, "guests.sock"), () => console.log("up"));
