import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLogger } from "../lib/logger.ts";
import type { HttpOptions } from "./context.ts";
import { createServer } from "./server.ts";

const path = "/api/auth/session/ses_00000000000000000000000000";
let webDirectory: string;
beforeAll(() => {
  webDirectory = mkdtempSync(join(tmpdir(), "sallyport-web-"));
  for (const file of ["viewer.html", "viewer.js", "viewer.css"]) writeFileSync(join(webDirectory, file), file);
});
afterAll(() => rmSync(webDirectory, { recursive: true }));

/** The server over a session that waits for its viewer. */
const serverAt = (publicUrl: string) =>
  createServer(
    {
      config: { publicUrl },
      webDirectory,
      sessions: { viewers: { pair: async () => "the-cookie" } },
    } as unknown as HttpOptions,
    createLogger({ level: "silent" }, new Writable()),
  );

test("the viewer's page runs its own scripts only, talks to its own origin only and is in no frame", async () => {
  const app = await serverAt("https://viewer.test");
  const { headers, body } = await app.inject(`${path}/novnc`);
  expect(body).toBe("viewer.html");
  expect(String(headers["content-security-policy"]).split("; ").toSorted()).toEqual([
    "base-uri 'none'",
    "connect-src 'self'",
    "default-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "img-src 'self' data: blob:",
    "script-src 'self'",
    "style-src 'self'",
  ]);
  expect(headers).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
  });
  expect((await app.inject("/assets/viewer.js")).headers).toMatchObject({ "x-content-type-options": "nosniff" });
});

test.each([
  ["https://viewer.test", "; HttpOnly; Secure; SameSite=Strict"],
  ["http://127.0.0.1:4000", "; HttpOnly; SameSite=Strict"],
])(
  "the cookie of a pairing at %s is sent to its session alone, and never in the clear where there is TLS",
  async (publicUrl, end) => {
    const app = await serverAt(publicUrl);
    const payload = { pairingCode: "ABCD-2345" };
    const { headers, statusCode } = await app.inject({ method: "POST", url: `${path}/pair`, payload });
    expect(statusCode).toBe(204);
    expect(headers["set-cookie"]).toBe(`sallyport_viewer=the-cookie; Path=${path}${end}`);
  },
);
