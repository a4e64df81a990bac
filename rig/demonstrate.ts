/** One run of the demo: image, world, warm snapshot, sign-in, and nothing left of it but image and snapshot. */
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "../src/client/client.ts";
import type { WarmSnapshot } from "../src/client/warm-snapshot.ts";
import type { Receipt } from "../src/contract/session.ts";
import { buildImage } from "../src/image/build.ts";
import { messageOf } from "../src/lib/errors.ts";
import { dataPaths } from "../src/lib/paths.ts";
import { ensureCertificates, type Certificates } from "./certificates.ts";
import { deploy, type Deployment } from "./deployment.ts";
import { keepEvidence } from "./evidence.ts";
import { runLogin, type LoginSuccess, type Started } from "./login.ts";
import type { DemoOptions } from "./options.ts";
import { playPerson } from "./person.ts";
import { ensureWarm, waitingOf, type Waiting } from "./waiting.ts";
import { IDENTITY_PROVIDER_NAME } from "./world.ts";

/** Whom the demo's identity provider knows. */
const ACCOUNT = { sub: "user-1815", userName: "ada", password: "correct horse", name: "Ada Lovelace" };
const IMAGE = "demo";

export interface DemoResult {
  account: string;
  /** Milliseconds: of the login's steps since it began, of the run's own steps each, and `total`. */
  timings: Record<string, number>;
  waiting: Waiting;
  receipt: Receipt;
}

type Say = (text: string) => void;

/** Throws what any part of it throws; `say` has then named the folder with what is known of the run. */
export const demonstrate = async (options: DemoOptions, signal: AbortSignal, say: Say): Promise<DemoResult> => {
  const begin = performance.now();
  const timings: Record<string, number> = {};
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const begunAt = performance.now();
    const result = await work();
    timings[name] = Math.round(performance.now() - begunAt);
    return result;
  };

  const place = await prepareFolders(options.dataDir);
  const certificates = await ensureCertificates({
    directory: place.ca,
    domain: "sallyport.test",
    host: IDENTITY_PROVIDER_NAME,
  });
  await timed("image", () => ensureImage(place, certificates, signal, say));
  const run = { logDir: place.newRun(), sessionId: "" };
  try {
    const deployment = await timed("start", () =>
      deploy({
        name: "sallyport-demo",
        dataDir: place.data,
        image: IMAGE,
        port: options.port,
        isWarm: !options.isCold,
        certificates,
        accounts: [ACCOUNT],
        logDir: run.logDir,
      }),
    );
    let login: LoginSuccess;
    let waiting: Waiting;
    try {
      const client = await deployment.client();
      const snapshot = options.isCold ? undefined : await timed("warm", () => warmUp(client, signal, say));
      login = await timed("signIn", () => signIn(deployment, options, run, signal, say));
      waiting = waitingOf(await client.session(run.sessionId), snapshot);
    } finally {
      say("Cleaning up…");
      await timed("cleanUp", () => deployment.destroy());
    }
    if (options.keep) say(`Logs of this run: ${run.logDir}`);
    else await rm(run.logDir, { recursive: true });
    timings.total = Math.round(performance.now() - begin);
    return {
      account: login.account?.name ?? "",
      timings: { ...login.timings, ...timings },
      waiting,
      receipt: login.receipt,
    };
  } catch (error) {
    if (run.sessionId) await keepEvidence(place.data, run.sessionId, run.logDir);
    say(`What is known of this run is in ${run.logDir}`);
    throw error;
  }
};

const prepareFolders = async (root: string) => {
  const data = join(root, "data");
  await mkdir(data, { recursive: true });
  // The microVM's own user passes through to its folder below.
  await chmod(root, 0o711);
  const newRun = (): string => join(root, "runs", new Date().toISOString().replaceAll(/[:.]/g, "-"));
  return { data, ca: join(root, "ca"), recipe: join(root, "recipe.json"), newRun };
};

const ensureImage = async (
  place: { data: string; recipe: string },
  { ca }: Certificates,
  signal: AbortSignal,
  say: Say,
): Promise<void> => {
  await writeFile(place.recipe, JSON.stringify({ caCertificates: [ca] }));
  await buildImage({
    name: IMAGE,
    recipeFile: place.recipe,
    paths: dataPaths(place.data),
    onProgress: ({ stage, message, elapsedMs }) => say(`${seconds(elapsedMs)}  image: ${stage}: ${message}`),
    signal,
  });
};

/** Whatever is wrong with it keeps nobody from signing in: the machine boots then. */
const warmUp = async (client: Client, signal: AbortSignal, say: Say): Promise<WarmSnapshot | undefined> => {
  const begin = performance.now();
  try {
    return await ensureWarm(client, (what) => say(`${seconds(performance.now() - begin)}  ${what}`), signal);
  } catch (error) {
    signal.throwIfAborted();
    say(`${messageOf(error)}\nThe sign-in goes on without one: its machine boots.`);
    return undefined;
  }
};

const signIn = (
  deployment: Deployment,
  options: DemoOptions,
  run: { logDir: string; sessionId: string },
  signal: AbortSignal,
  say: Say,
): Promise<LoginSuccess> => {
  const begin = performance.now();
  const person = async (started: Started, over: AbortSignal): Promise<void> => {
    run.sessionId = started.sessionId;
    if (!options.isAuto) {
      say(invitation(started, options.port));
      return;
    }
    await playPerson({
      viewerUrl: started.novncURL,
      pairingCode: started.pairingCode,
      userName: ACCOUNT.userName,
      password: ACCOUNT.password,
      signal: over,
      log: (line) => say(`${seconds(performance.now() - begin)}  ${line}`),
      screenshotDir: join(run.logDir, "person"),
    });
  };
  return runLogin(deployment, {
    provider: "oidc",
    args: ["--user", ACCOUNT.userName],
    log: "login",
    onStarted: person,
    onEvent: (line) => {
      const { event, stage = "" } = JSON.parse(line) as { event?: string; stage?: string };
      if (event) say(`${seconds(performance.now() - begin)}  ${event} ${stage}`);
    },
    signal: options.isAuto ? AbortSignal.any([signal, AbortSignal.timeout(AUTO_TIMEOUT_MS)]) : signal,
  });
};

/** Far more than it takes under emulation; a person's own deadline is the session's. */
export const AUTO_TIMEOUT_MS = 600_000;

const invitation = ({ novncURL, pairingCode }: Started, port: number): string => `
  Open            ${novncURL}
  Pairing code    ${pairingCode}

  and sign in there, when the page has come up, as
  User name       ${ACCOUNT.userName}
  Password        ${ACCOUNT.password}

  Is your browser on another machine? There:  ssh -L ${port}:127.0.0.1:${port} <this machine>
`;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1).padStart(7)} s`;
