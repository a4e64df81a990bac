/** What both end-to-end tests sign in with: image, world, controller, identity provider, and a person with a secret. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { ensureCertificates } from "../../rig/certificates.ts";
import { deploy, type Deployment, type DeploymentOptions } from "../../rig/deployment.ts";
import { keepEvidence } from "../../rig/evidence.ts";
import type { IdentityEvent } from "../../rig/identity-shapes.ts";
import { runLogin, type LoginSuccess, type Started } from "../../rig/login.ts";
import { playPerson } from "../../rig/person.ts";
import { IDENTITY_PROVIDER_NAME } from "../../rig/world.ts";
import type { StageRecord } from "../../src/contract/session.ts";
import { buildImage } from "../../src/image/build.ts";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { shareCache, shareSnapshot } from "../fixtures/data-dir.ts";

const IMAGE = "e2e";
const BUILD_TIMEOUT_MS = 5 * 60_000;
/** A boot under emulation and the freezing; once for all tests of the image. */
const WARM_TIMEOUT_MS = 8 * 60_000;
/** Below the test's own limit, so that the reason is told and everything is cleaned up. */
const SIGN_IN_TIMEOUT_MS = 7 * 60_000;

export interface SignInWorld {
  deployment: Deployment;
  /** The controller's, made for this test. */
  dataDir: string;
  /** Logs of controller, command line and identity provider, and the person's pictures; kept until the next run. */
  logDir: string;
  account: { sub: string; userName: string; password: string; name: string };
  /** What the identity provider saw, in order. */
  events: IdentityEvent[];
  /** Codes and tokens as they were issued, one a line. */
  secretsFile: string;
  /** `beforePerson`: what is done once the session has begun, and before the person comes to it. */
  signIn(
    provider: string,
    args?: string[],
    beforePerson?: (started: Started) => Promise<void>,
  ): Promise<LoginSuccess & { started: Started; stages: StageRecord[] }>;
  destroy(): Promise<void>;
}

export interface SignInOptions extends Pick<DeploymentOptions, "clients" | "providers" | "vmm" | "session"> {
  /** Whether the session starts from a warm snapshot; default yes. */
  isWarm?: boolean;
  signInTimeoutMs?: number;
  /** The person's; see PersonOptions. */
  patience?: number;
}

export const createSignInWorld = async (
  name: string,
  cacheDir: string,
  { signInTimeoutMs = SIGN_IN_TIMEOUT_MS, isWarm = true, patience = 1, ...options }: SignInOptions = {},
): Promise<SignInWorld> => {
  const cleanup = new Cleanup();
  const { certificates } = await makeTrustingImage(cacheDir);
  const logDir = await emptyFolder(join(cacheDir, "e2e-logs", name));
  const dataDir = await emptyFolder(join(cacheDir, "e2e-data", name));
  cleanup.push("the data directory", () => rm(dataDir, { recursive: true }));
  // The image is shared, all else is this controller's own: what is found in the folder itself, it wrote.
  await shareCache(cacheDir, dataDir);

  const secretsDir = await emptyFolder(join(cacheDir, "e2e-secrets", name));
  cleanup.push("the issued secrets", () => rm(secretsDir, { recursive: true }));
  const secretsFile = join(secretsDir, "issued");
  const account = {
    sub: `user-${randomBytes(4).toString("hex")}`,
    userName: "ada",
    password: `planted-${randomBytes(6).toString("hex")}`,
    name: "Ada Lovelace",
  };
  const events: IdentityEvent[] = [];
  const deployment = await deploy({
    name: `sallyport-${name}`,
    dataDir,
    image: IMAGE,
    isWarm,
    port: await freePort(),
    certificates,
    accounts: [account],
    logDir,
    secretsFile,
    onIdentityEvent: (event) => events.push(event),
    ...options,
  });
  cleanup.push("the deployment", () => deployment.destroy());
  const client = await deployment.client();
  try {
    const signal = AbortSignal.timeout(WARM_TIMEOUT_MS);
    if (isWarm) await shareSnapshot(client, { cacheDir, dataDir, image: IMAGE }, signal);
  } catch (error) {
    await cleanup.run();
    throw error;
  }

  return {
    deployment,
    dataDir,
    logDir,
    account,
    events,
    secretsFile,
    signIn: async (provider, args = [], beforePerson = async () => {}) => {
      let started: Started | undefined;
      const login = runLogin(deployment, {
        provider,
        args,
        log: "login",
        signal: AbortSignal.timeout(signInTimeoutMs),
        onStarted: async (event, signal) => {
          started = event;
          await beforePerson(event);
          await playPerson({
            viewerUrl: event.novncURL,
            pairingCode: event.pairingCode,
            userName: account.userName,
            password: account.password,
            signal,
            patience,
            log: (line) => console.log(line),
            screenshotDir: join(logDir, "person"),
          });
        },
      });
      const success = await login.catch(async (error: unknown) => {
        if (started) await keepEvidence(dataDir, started.sessionId, logDir);
        throw error;
      });
      if (!started) throw new Error("the login succeeded without having started");
      const { stages } = await client.session(started.sessionId);
      return { ...success, started, stages };
    },
    destroy: () => cleanup.run(),
  };
};

/** The folder that keeps the test authority, below a data directory. */
export const AUTHORITY_FOLDER = "ca";

/** The tests' image, with the test authority in the system's store and in Firefox's. */
export const makeTrustingImage = async (cacheDir: string) => {
  const directory = join(cacheDir, AUTHORITY_FOLDER);
  const certificates = await ensureCertificates({ directory, domain: "sallyport.test", host: IDENTITY_PROVIDER_NAME });
  const recipeFile = join(cacheDir, "e2e-recipe.json");
  await writeFile(recipeFile, JSON.stringify({ caCertificates: [certificates.ca] }));
  const signal = AbortSignal.timeout(BUILD_TIMEOUT_MS);
  const { image } = await buildImage({ name: IMAGE, recipeFile, paths: dataPaths(cacheDir), signal });
  return { certificates, image };
};

const emptyFolder = async (folder: string): Promise<string> => {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
};

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
};
