import type { Config } from "./config.ts";

/**
 * The configuration as it may be sent to somebody. Named field by field, so that a new one is not shown before somebody thought
 * about it; of files, endpoints and providers' fields it says only that they are set.
 */
export const redactedConfig = (config: Config): Record<string, unknown> => ({
  listen: config.listen.kind === "tcp" ? config.listen : { kind: "unix" },
  publicUrl: config.publicUrl,
  hasTls: config.tls !== undefined,
  hasTrustedProxy: config.trustedProxy !== undefined,
  logLevel: config.logLevel,
  image: config.image,
  network: config.network,
  vm: config.vm,
  vmm: {
    backend: config.vmm.backend,
    hasFirecracker: config.vmm.firecracker !== undefined,
    hasJailer: config.vmm.jailer !== undefined,
  },
  session: config.session,
  providers: Object.keys(config.providers),
  history: config.history,
  evidence: config.evidence,
  hasTelemetry: config.telemetry.otlpEndpoint !== undefined,
});
