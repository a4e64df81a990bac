/** A controller and an identity provider in a world of their own: what the demo and the end-to-end tests sign in with. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type Client } from "../src/client/client.ts";
import { createTransport } from "../src/client/transport.ts";
import type { ConfigFile } from "../src/config/config.ts";
import { Cleanup } from "../src/lib/cleanup.ts";
import { AppError } from "../src/lib/errors.ts";
import { dataPaths, packageRoot } from "../src/lib/paths.ts";
import { poll } from "../src/lib/wait.ts";
import type { Certificates } from "./certificates.ts";
import { forwardPort } from "./forwarder.ts";
import type { IdentityProviderConfig } from "./identity-provider.ts";
import type { Account, IdentityEvent } from "./identity-shapes.ts";
import {
  createWorld,
  GATEWAY_ADDRESS,
  IDENTITY_PROVIDER_ADDRESS,
  IDENTITY_PROVIDER_NAME,
  type World,
} from "./world.ts";
import type { WorldProcess } from "./world-process.ts";
import { ownUidBase } from "./user-range.ts";

export const ISSUER = `https://${IDENTITY_PROVIDER_NAME}`;
export const DEMO_CLIENT_ID = "sallyport-demo";

export interface DeploymentOptions {
  /** Of the world; two deployments at once need two names. */
  name: string;
  /** The controller's data directory, with `image` in it. */
  dataDir: string;
  image: string;
  /** On this machine's 127.0.0.1, for the viewer page. */
  port: number;
  /** Whether sessions start from a warm snapshot where there is one; default no. */
  isWarm?: boolean;
  /** Which VMM; default the one that the controller chooses. */
  vmm?: ConfigFile["vmm"];
  session?: ConfigFile["session"];
  certificates: Certificates;
  accounts: Account[];
  /** Of tools besides the command line itself. */
  clients?: IdentityProviderConfig["clients"];
  /** Laid over provider recipes, besides `oidc`. */
  providers?: NonNullable<ConfigFile["providers"]>;
  /** Gets `controller.log`, `identity-provider.log` and the command line's. Made if missing. */
  logDir: string;
  /** See IdentityProviderConfig. */
  secretsFile?: string;
  onIdentityEvent?: (event: IdentityEvent) => void;
}

export interface Deployment {
  readonly world: World;
  /** Where a browser on this machine finds the viewer page. */
  readonly publicUrl: string;
  /** `unix:/path` of the API. */
  readonly apiUrl: string;
  /** For the API, with the local administrator's key; closed with the deployment. */
  client(): Promise<Client>;
  /** Runs the command line in the world, with the local administrator's key; its output goes to `<log>.log`, too. */
  sallyport(log: string, args: string[], onLine?: (line: string) => void): Promise<WorldProcess>;
  /** Ends all sessions, then everything else. Idempotent; throws AggregateError after having tried all of it. */
  destroy(): Promise<void>;
}

/** Throws what `createWorld` and `forwardPort` throw, and AppError `demo-start-failed` with the end of a log. */
export const deploy = async (options: DeploymentOptions): Promise<Deployment> => {
  const cleanup = new Cleanup();
  try {
    await mkdir(options.logDir, { recursive: true, mode: 0o700 });
    const world = await createWorld({ name: options.name });
    cleanup.push("the world", () => world.destroy());
    const deployment = createHandle(options, world, cleanup);
    cleanup.push("the port", await forwardPort(options.port, socketOf(world)));
    await startIdentityProvider(options, world);
    await startController(options, deployment, cleanup);
    return deployment;
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};

const createHandle = (options: DeploymentOptions, world: World, cleanup: Cleanup): Deployment => ({
  world,
  publicUrl: `http://127.0.0.1:${options.port}`,
  apiUrl: `unix:${socketOf(world)}`,
  client: async () => {
    const key = await readFile(dataPaths(options.dataDir).adminKey, "utf8");
    const client = createClient({ url: `unix:${socketOf(world)}`, key: key.trim() });
    cleanup.push("a client", () => client.close());
    return client;
  },
  sallyport: (log, args, onLine) => {
    const program = [join(packageRoot(), "dist", "main.js"), "--config", configFileOf(world), ...args];
    return world.spawn("host", process.execPath, program, {
      logFile: join(options.logDir, `${log}.log`),
      env: { NODE_EXTRA_CA_CERTS: options.certificates.ca },
      ...(onLine ? { onLine } : {}),
    });
  },
  destroy: () => cleanup.run(),
});

const socketOf = (world: World): string => join(world.directory, "api.sock");
const configFileOf = (world: World): string => join(world.directory, "config.yaml");

const startIdentityProvider = async (options: DeploymentOptions, world: World): Promise<void> => {
  const config: IdentityProviderConfig = {
    issuer: ISSUER,
    address: IDENTITY_PROVIDER_ADDRESS,
    port: 443,
    certificate: options.certificates.server,
    key: options.certificates.serverKey,
    accounts: options.accounts,
    clients: [
      {
        clientId: DEMO_CLIENT_ID,
        name: "Sallyport",
        redirectUris: ["http://127.0.0.1/callback", "http://localhost/callback"],
      },
      ...(options.clients ?? []),
    ],
    ...(options.secretsFile ? { secretsFile: options.secretsFile } : {}),
  };
  const file = join(world.directory, "identity-provider.json");
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  const program = join(packageRoot(), "rig", "identity-provider-main.ts");
  let isListening = false;
  const child = await world.spawn("net", process.execPath, [program, file], {
    logFile: join(options.logDir, "identity-provider.log"),
    onLine: (line) => {
      const event = parseEvent(line);
      if (event?.event === "listening") isListening = true;
      if (event) options.onIdentityEvent?.(event);
    },
  });
  await started(child, "identity-provider", options, async () => isListening);
};

/** oidc-provider prints notices of its own between our events. */
const parseEvent = (line: string): IdentityEvent | undefined =>
  line.startsWith("{") ? (JSON.parse(line) as IdentityEvent) : undefined;

const startController = async (options: DeploymentOptions, deployment: Deployment, cleanup: Cleanup): Promise<void> => {
  const config: ConfigFile = {
    listen: deployment.apiUrl,
    publicUrl: deployment.publicUrl,
    dataDir: options.dataDir,
    image: options.image,
    network: { dns: { upstream: [GATEWAY_ADDRESS] } },
    vm: { uidBase: ownUidBase(options.dataDir) },
    warm: { snapshots: options.isWarm ?? false, pool: 0 },
    ...(options.vmm ? { vmm: options.vmm } : {}),
    ...(options.session ? { session: options.session } : {}),
    providers: { ...options.providers, oidc: { issuer: ISSUER, clientId: DEMO_CLIENT_ID } },
  };
  // JSON is YAML.
  await writeFile(configFileOf(deployment.world), JSON.stringify(config), { mode: 0o600 });
  const controller = await deployment.sallyport("controller", ["up"]);
  let isRunning = true;
  void controller.ended.then(() => (isRunning = false));
  // Not by killing: what the controller itself leaves behind is to be seen.
  cleanup.push("the sessions", async () => {
    if (!isRunning) return;
    const exitCode = await (await deployment.sallyport("destroy", ["destroy", "--all"])).ended;
    if (exitCode !== 0) throw new Error(`sallyport destroy --all ended with code ${exitCode}`);
  });
  await started(controller, "controller", options, () => isReady(deployment));
};

const isReady = async ({ apiUrl }: Deployment): Promise<boolean> => {
  const transport = createTransport({ url: apiUrl });
  try {
    const response = await transport.request("/health", { timeoutMs: 2000 });
    await response.text();
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  } finally {
    await transport.close();
  }
};

const START_TIMEOUT_MS = 60_000;

const started = async (
  child: WorldProcess,
  name: string,
  { logDir }: DeploymentOptions,
  isUp: () => Promise<boolean>,
): Promise<void> => {
  let exitCode: number | undefined;
  void child.ended.then((code) => (exitCode = code));
  await poll(
    async () => {
      if (exitCode === undefined) return (await isUp()) ? true : undefined;
      const tail = (await readFile(join(logDir, `${name}.log`), "utf8")).trim().slice(-1500);
      throw new AppError("unavailable", "demo-start-failed", `The ${name} ended with code ${exitCode}: ${tail}`, {
        hint: `Its log is ${join(logDir, `${name}.log`)}`,
      });
    },
    { what: `the start of the ${name}`, timeoutMs: START_TIMEOUT_MS, intervalMs: 100 },
  );
};
