import { X509Certificate, createPrivateKey } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../src/lib/exec.ts";
import { unlessMissing } from "../src/lib/unless-missing.ts";

/** Paths of PEM files. */
export interface Certificates {
  ca: string;
  server: string;
  serverKey: string;
}

const DAY_MS = 86_400_000;
/** A certificate with less life than this is made anew. */
const MARGIN_MS = 2 * DAY_MS;

/**
 * A certificate authority and a server certificate for `host`, made with openssl and kept in `directory` (0700) while
 * valid: an image that trusts this authority stays in the cache. The authority may only vouch for `domain` and names
 * below it, so an image that trusts it is no danger to anything else.
 */
export const ensureCertificates = async (options: {
  directory: string;
  domain: string;
  host: string;
}): Promise<Certificates> => {
  const { directory, domain, host } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = { certificate: join(directory, "ca.pem"), key: join(directory, "ca-key.pem") };
  const server = { certificate: join(directory, "server.pem"), key: join(directory, "server-key.pem") };

  if (!(await isUsable(authority))) {
    await issue(authority, 3650, domain, [
      ["basicConstraints", "critical,CA:TRUE,pathlen:0"],
      ["keyUsage", "critical,keyCertSign,cRLSign"],
      ["nameConstraints", `critical,permitted;DNS:${domain}`],
    ]);
  }
  if (!(await isUsable(server, { host, authority: authority.certificate }))) {
    const extensions: Extension[] = [
      ["basicConstraints", "critical,CA:FALSE"],
      ["extendedKeyUsage", "serverAuth"],
      ["subjectAltName", `DNS:${host}`],
    ];
    await issue(server, 397, host, extensions, ["-CA", authority.certificate, "-CAkey", authority.key]);
  }
  return { ca: authority.certificate, server: server.certificate, serverKey: server.key };
};

interface Pair {
  certificate: string;
  key: string;
}
type Extension = [name: string, value: string];

const issue = async (pair: Pair, days: number, name: string, extensions: Extension[], issuer: string[] = []) => {
  // Without a configuration of its own openssl would add the extensions that its packager chose.
  const configuration = join(dirname(pair.certificate), "openssl.cnf");
  await writeFile(configuration, "[req]\ndistinguished_name = name\n[name]\n");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key];
  const text = ["-days", String(days), "-subj", `/O=Sallyport demo/CN=${name}`, "-out", pair.certificate];
  const added = extensions.flatMap(([extension, value]) => ["-addext", `${extension}=${value}`]);
  await run("openssl", ["req", "-x509", "-config", configuration, ...key, ...text, ...added, ...issuer]);
  await chmod(pair.key, 0o600);
};

/** Whether both files are there, belong together, live long enough and, for a server, fit host and authority. */
const isUsable = async (pair: Pair, expected?: { host: string; authority: string }): Promise<boolean> => {
  const [certificatePem, keyPem] = [await readIfThere(pair.certificate), await readIfThere(pair.key)];
  if (certificatePem === undefined || keyPem === undefined) return false;
  const certificate = new X509Certificate(certificatePem);
  if (certificate.validToDate.getTime() < Date.now() + MARGIN_MS) return false;
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return false;
  if (!expected) return certificate.ca;
  const authority = new X509Certificate(await readFile(expected.authority));
  return certificate.checkHost(expected.host) !== undefined && certificate.verify(authority.publicKey);
};

const readIfThere = (path: string): Promise<string | undefined> => unlessMissing(readFile(path, "utf8"), undefined);
