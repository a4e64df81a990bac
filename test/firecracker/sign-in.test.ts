/** A person signs the command line in through Firefox in a Firecracker microVM, and all is seen that must be seen "when it works". */
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { ISSUER } from "../../rig/deployment.ts";
import type { SessionView } from "../../src/contract/api.ts";
import { verifyReceipt } from "../../src/handover/receipt.ts";
import { untilState } from "../boot/host.ts";
import { seePoints, testPoints, type Seen } from "../boot/points.ts";
import { createSignInWorld, type SignInWorld } from "../e2e/sign-in.ts";
import { keepFigures, resultsFolder } from "./results.ts";
import { DEADLINES_SEC, FIRECRACKER } from "./vmm.ts";

/** In a KVM that is emulated itself. */
const SIGN_IN_TIMEOUT_MS = 20 * 60_000;
const PATIENCE = 4;

let world: SignInWorld;
let result: Awaited<ReturnType<SignInWorld["signIn"]>>;
let ready: SessionView;
let seen: Seen;

beforeAll(
  async () => {
    const session = { deadlinesSec: DEADLINES_SEC };
    const how = { vmm: FIRECRACKER, session, isWarm: false, signInTimeoutMs: SIGN_IN_TIMEOUT_MS, patience: PATIENCE };
    world = await createSignInWorld("fcoidc", inject("imageDataDir"), how);
    result = await world.signIn("oidc", [], async ({ sessionId }) => {
      const { world: net } = world.deployment;
      const client = await world.deployment.client();
      const ask = async (file: string, ...args: string[]): Promise<string> => {
        const lines: string[] = [];
        const heard = { onLine: (line: string) => lines.push(line), logFile: join(world.logDir, `${file}.log`) };
        const child = await net.spawn("host", file, args, heard);
        await child.ended;
        return lines.join("\n");
      };
      ready = await untilState(client, sessionId, "ready");
      seen = await seePoints({ client, sessionId, ask, logFile: join(world.logDir, "controller.log") });
    });
  },
  SIGN_IN_TIMEOUT_MS + 3 * 60_000,
);

afterAll(async () => {
  const folder = resultsFolder();
  if (folder !== undefined && world) {
    await cp(world.logDir, join(folder, "sign-in"), { recursive: true });
    if (seen) await writeFile(join(folder, "sign-in", "console.log"), seen.console);
  }
  await world?.destroy();
});

testPoints(() => seen);

test("8. the OAuth flow works: Firefox opens and is visible through noVNC", () => {
  expect(ready.stages.find(({ stage }) => stage === "vmm-up")?.source).toBe("firecracker");
  // The person saw the provider's pages on the screen, and nowhere else, and signed in there.
  expect(world.events.filter(({ event }) => event === "token")).toMatchObject([{ sub: world.account.sub }]);
});

test("9. the sign-in's result reaches the user's command line", async () => {
  expect(result.account).toEqual({ issuer: ISSUER, sub: world.account.sub, name: world.account.name });
  expect(verifyReceipt(result.receipt)).toBe(true);
  expect(result.receipt.body).toMatchObject({ sessionId: ready.sessionId, outcome: "signed-in" });
  const { stages, createdAt } = ready;
  const coldMs = Date.parse(stages.at(-1)?.endedAt ?? "") - Date.parse(createdAt);
  expect(coldMs).toBeGreaterThan(0);
  await keepFigures("sign-in", { signIn: "ok", coldMs });
});
