/** The user's failure, reproduced: their network files in an image, and what the product says about it. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { buildImage } from "../../src/image/build.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { createBootHost, untilOver, type BootHost } from "./host.ts";

const IMAGE = "documents-network";
let host: BootHost;

beforeAll(async () => {
  await buildImage({
    name: IMAGE,
    recipeFile: fileURLToPath(new URL("../fixtures/documents-network.yaml", import.meta.url)),
    paths: dataPaths(inject("imageDataDir")),
    signal: AbortSignal.timeout(180_000),
  });
  host = await createBootHost("documents", inject("imageDataDir"), { image: IMAGE, session: { unreachableSec: 20 } });
});
afterAll(() => host?.destroy());

test("their set-up script succeeds, eth0 has no address all the same, and the verdict names the file in force", async () => {
  const { sessionId } = await host.client.start({ provider: "claude_code" });
  const view = await untilOver(host.client, sessionId);
  expect(view).toMatchObject({ state: "failed", verdict: { code: "network-file-overrides", stage: "addressed" } });
  const evidence = view.verdict?.evidence.join("\n") ?? "";
  expect(evidence).toContain("/etc/systemd/network/10-eth0.network");
  expect(evidence).toContain("no IPv4 address");

  const text = await host.client.console(sessionId);
  expect(text).toMatch(/setup-network: eth0\s+\S+\s+192\.168\.100\.\d+\/24/);
  expect((await host.client.receipt(sessionId)).body.outcome).toBe("failed");
  expect(await host.client.vms()).toEqual([]);
});
