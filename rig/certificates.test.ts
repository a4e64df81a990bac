import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ensureCertificates } from "./certificates.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-certificates-"));
});
afterEach(() => rm(directory, { recursive: true }));

const ensure = (host = "login.sallyport.test") => ensureCertificates({ directory, domain: "sallyport.test", host });

describe("ensureCertificates", () => {
  test("makes an authority and a server certificate that it vouches for", async () => {
    const made = await ensure();
    const ca = new X509Certificate(await readFile(made.ca));
    const server = new X509Certificate(await readFile(made.server));
    expect(ca.ca).toBe(true);
    expect(server.ca).toBe(false);
    expect(server.checkIssued(ca)).toBe(true);
    expect(server.verify(ca.publicKey)).toBe(true);
    expect(server.subjectAltName).toBe("DNS:login.sallyport.test");
  });

  test("nobody else can read the keys", async () => {
    const made = await ensure();
    expect((await stat(made.serverKey)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, "ca-key.pem"))).mode & 0o777).toBe(0o600);
  });

  test("is stable: the second call changes nothing", async () => {
    const first = await ensure();
    const before = await Promise.all([readFile(first.ca, "utf8"), readFile(first.server, "utf8")]);
    const second = await ensure();
    expect(await Promise.all([readFile(second.ca, "utf8"), readFile(second.server, "utf8")])).toEqual(before);
  });

  test("another host name gets another server certificate from the same authority", async () => {
    const first = await ensure();
    const ca = await readFile(first.ca, "utf8");
    const second = await ensure("other.sallyport.test");
    expect(await readFile(second.ca, "utf8")).toBe(ca);
    expect(new X509Certificate(await readFile(second.server)).checkHost("other.sallyport.test")).toBeDefined();
  });

  test("a lost authority takes its server certificate with it", async () => {
    const first = await ensure();
    const server = await readFile(first.server, "utf8");
    await rm(first.ca);
    const second = await ensure();
    expect(await readFile(second.server, "utf8")).not.toBe(server);
  });
});
