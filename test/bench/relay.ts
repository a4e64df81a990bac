/** A relay that does nothing but carry bytes: arguments are the port to listen on and the one to connect to. */
import { connect, createServer } from "node:net";

const [, , from, to] = process.argv.map(Number);
createServer({ noDelay: true }, (client) => {
  const server = connect({ host: "127.0.0.1", port: to ?? 0, noDelay: true });
  client.on("error", () => server.destroy()).pipe(server);
  server.on("error", () => client.destroy()).pipe(client);
}).listen(from, "127.0.0.1", () => console.log("up"));
