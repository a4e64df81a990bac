/** Where a controller is heard, and that the command line's key goes there and nowhere else. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { request as requestTls } from "node:https";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ensureCertificates } from "../../rig/certificates.ts";
import { runCli } from "../../src/cli/cli.ts";
import { createClient } from "../../src/client/client.ts";
import { readEnv } from "../../src/config/env.ts";
import { apiSocketOf } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { createFakeNetwork } from "../fixtures/fake-network.ts";
import { createGuardedFolder } from "../fixtures/guarded-folder.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const start = async (config: Record<string, unknown>): Promise<TestController> => {
  const controller = await startController({ config });
  cleanups.push(() => controller.dispose().catch(() => {}));
  return controller;
};

/** A program of any user of this machine: it takes what comes and keeps it. */
const stranger = async (where: { port: number } | { path: string }) => {
  let received = "";
  const server = createServer((socket) => {
    socket
      .on("error", () => {})
      .on("data", (data) => {
        received += data.toString();
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
      });
  });
  await listening(server, where);
  cleanups.push(() => server.close());
  return { received: () => received };
};

const listening = (server: Server, where: { port: number } | { path: string }): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject).listen({ host: "127.0.0.1", ...where }, resolve);
  });

const freePort = async (): Promise<number> => {
  const server = createServer();
  await listening(server, { port: 0 });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};

const sallyport = async (configFile: string, ...args: string[]) => {
  let text = "";
  const sink = { write: (piece: string) => (text += piece) };
  const env = { ...readEnv(), url: undefined, key: undefined, dataDir: undefined, configFile };
  const surroundings = { env, signal: new AbortController().signal, stdout: sink, stderr: sink, isTerminal: false };
  return { code: await runCli(args, surroundings), text };
};

const health = (over: object, send = request): Promise<unknown> =>
  new Promise((resolve, reject) => {
    send({ path: "/health", ...over }, (response) => {
      response.setEncoding("utf8").on("data", (text: string) => resolve(JSON.parse(text)));
    })
      .on("error", reject)
      .end();
  });

/** The framework answers it and lets go of the socket. */
const BROKEN_UPGRADE = "GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

describe("a controller", () => {
  test("listens on TCP and on a socket that every user may use and nobody but root replace", async () => {
    const port = await freePort();
    const controller = await start({ listen: `127.0.0.1:${port}` });
    const socketPath = apiSocketOf(controller.paths.root);
    expect(await health({ port })).toEqual({ status: "ok" });
    expect(await health({ socketPath })).toEqual({ status: "ok" });
    expect((await lstat(socketPath)).mode & 0o777).toBe(0o666);
    expect(await lstat("/run/sallyport")).toMatchObject({ uid: 0, mode: 0o40755 });
    await controller.stop();
    expect(existsSync(socketPath)).toBe(false);
  });

  test("answers in clear on its socket when TCP has TLS", async () => {
    const directory = await mkdtemp(join(tmpdir(), "sallyport-tls-"));
    cleanups.push(() => rm(directory, { recursive: true }));
    const { ca, server, serverKey } = await ensureCertificates({ directory, domain: "test", host: "sally.test" });
    const port = await freePort();
    const tls = { certificate: server, key: serverKey };
    const controller = await start({ listen: `127.0.0.1:${port}`, tls, publicUrl: "https://sally.test" });
    expect(await controller.client.sessions()).toEqual([]);
    const over = { port, ca: await readFile(ca), servername: "sally.test" };
    expect(await health(over, requestTls)).toEqual({ status: "ok" });
  });

  test.each([
    ["on which nothing came", "", false],
    ["with half a head", "GET /health HTTP/1.1\r\nhost:", false],
    ["with an upgrade that was refused", BROKEN_UPGRADE, true],
  ])("a connection %s ends with the controller", async (_what, text, isAnswered) => {
    const controller = await startController({
      config: { listen: `127.0.0.1:${await freePort()}` },
      limits: { headMs: 300_000, requestMs: 300_000 },
    });
    cleanups.push(() => controller.dispose().catch(() => {}));
    const socket = connect(controller.url.slice("unix:".length))
      .on("error", () => {})
      .resume();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await new Promise((resolve) => socket.once("connect", resolve));
    if (text) socket.write(text);
    if (isAnswered) await new Promise((resolve) => socket.once("data", resolve));
    await controller.stop();
    await closed;
  });

  test("says of a port that is taken how to find out by whom, and how nobody else could", async () => {
    const port = await freePort();
    await stranger({ port });
    await expect(startController({ config: { listen: `127.0.0.1:${port}` } })).rejects.toMatchObject({
      code: "address-taken",
      hint: expect.stringMatching(new RegExp(`^ss -ltnp "sport = :${port}" .* A port below 1024 .* root alone`)),
    });
  });

  test("stops though a chore and a step of the stop hang, and what comes after that step is done", async () => {
    const never = (): Promise<never> => new Promise(() => {});
    let isAsked = false;
    const found = (): Promise<never> => {
      isAsked = true;
      return never();
    };
    const network = { ...createFakeNetwork("127.9.9.1", 29), found, teardown: never };
    const controller = await startController({ network, stopMs: 200 });
    cleanups.push(() => rm(controller.paths.root, { recursive: true }));
    await poll(async () => isAsked || undefined, { what: "the chore", timeoutMs: 15_000, intervalMs: 20 });
    await expect(controller.stop()).rejects.toThrow(/undoing the network failed.*longer than 0.2 s/);
    // SQLite removes it as the database is closed.
    expect(existsSync(`${controller.paths.database}-wal`)).toBe(false);
  });

  test("replaces a socket's file that nobody answers at, and no other", async () => {
    const { folder, remove } = createGuardedFolder();
    cleanups.push(remove);
    const path = join(folder, "api.sock");
    const listen = { listen: `unix:${path}` };
    await writeFile(path, "somebody's");
    await expect(startController({ config: listen })).rejects.toThrow(/Something that is no socket is at/);
    expect(await readFile(path, "utf8")).toBe("somebody's");
    await rm(path);
    const other = createServer();
    await listening(other, { path });
    await expect(startController({ config: listen })).rejects.toMatchObject({ code: "address-taken" });
    await new Promise((resolve) => other.close(resolve));
    // As a process leaves it that was killed.
    const program = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["--eval", program]);
    expect(existsSync(path)).toBe(true);
    const controller = await start(listen);
    expect(await controller.client.sessions()).toEqual([]);
  });

  test.each<[string, (folder: string) => Promise<string>]>([
    ["others may write", async (folder) => chmod(folder, 0o1777).then(() => folder)],
    ["a link leads to", async (folder) => symlink(folder, `${folder}/link`).then(() => `${folder}/link`)],
    ["is not there, nor the one above it", async (folder) => `${folder}/not/there`],
    [
      "belongs to another user",
      async (folder) => {
        return chown(folder, 65_534, 65_534).then(() => folder);
      },
    ],
  ])("refuses a folder that %s", async (_what, spoil) => {
    const { folder, remove } = createGuardedFolder();
    cleanups.push(remove);
    const listen = `unix:${await spoil(folder)}/api.sock`;
    await expect(startController({ config: { listen } })).rejects.toMatchObject({ code: "socket-folder" });
  });
});

describe("the local command line", () => {
  test("uses the socket alone: while the controller is down, whoever listens on its port gets nothing", async () => {
    const port = await freePort();
    const controller = await start({ listen: `127.0.0.1:${port}` });
    const configFile = join(controller.paths.root, "config.yaml");
    expect(await sallyport(configFile, "ls")).toMatchObject({ code: 0, text: "No sessions.\n" });
    await controller.stop();
    const { received } = await stranger({ port });
    const { code, text } = await sallyport(configFile, "ls");
    expect([code, text]).toEqual([6, expect.stringMatching(/^No controller answers at unix:\/run\/sallyport\//)]);
    expect((await sallyport(configFile, "login", "oidc")).code).toBe(6);
    expect(received()).toBe("");
  });

  test("makes a revoked operator's key anew, without one that is good, while the controller runs and while it does not", async () => {
    const controller = await start({});
    const configFile = join(controller.paths.root, "config.yaml");
    const [{ id } = { id: "" }] = await controller.client.keys();
    await controller.client.revokeKey(id);
    const refused = await sallyport(configFile, "ls");
    expect([refused.code, refused.text]).toEqual([3, expect.stringMatching(/sallyport keys admin --new/)]);
    expect((await sallyport(configFile, "keys", "admin")).code).toBe(2);
    expect(await sallyport(configFile, "keys", "admin", "--new")).toMatchObject({ code: 0 });
    expect((await lstat(controller.paths.adminKey)).mode & 0o777).toBe(0o600);
    expect(await sallyport(configFile, "ls")).toMatchObject({ code: 0 });
    await expect(controller.client.sessions()).rejects.toMatchObject({ code: "wrong-key" });

    const old = await readFile(controller.paths.adminKey, "utf8");
    await controller.stop();
    const later = await sallyport(configFile, "keys", "admin", "--new");
    expect([later.code, later.text]).toEqual([0, expect.stringMatching(/when the controller runs again/)]);
    const next = await controller.restart();
    cleanups.push(() => next.dispose());
    expect(await next.client.sessions()).toEqual([]);
    const client = createClient({ url: next.url, key: old.trim() });
    await expect(client.sessions()).rejects.toMatchObject({ code: "wrong-key" });
    await client.close();
  });

  test("sends nothing to another user's socket, in their folder or in one of root's", async () => {
    const { folder, remove } = createGuardedFolder();
    cleanups.push(remove);
    await chmod(folder, 0o755);
    await mkdir(join(folder, "theirs"));
    const inTheirs = join(folder, "theirs", "api.sock");
    const inOurs = join(folder, "api.sock");
    const strangers = [await stranger({ path: inTheirs }), await stranger({ path: inOurs })];
    for (const path of [join(folder, "theirs"), inOurs]) await chown(path, 65_534, 65_534);
    for (const path of [inTheirs, inOurs]) {
      const client = createClient({ url: `unix:${path}`, key: "sally_secret" });
      await expect(client.sessions()).rejects.toMatchObject({ code: "path-unguarded" });
      await client.close();
    }
    expect(strangers.map(({ received }) => received())).toEqual(["", ""]);
  });
});
