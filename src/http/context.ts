import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { ImageStore } from "../image/store.ts";
import type { ReapResult } from "../microvm/reap.ts";
import type { DataPaths } from "../lib/paths.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { SessionService } from "../session/service.ts";
import type { KeyStore } from "./keys.ts";
import type { createLiveStreams } from "./live-stream.ts";
import type { Limits } from "./limits.ts";

export const sessionParams = z.strictObject({ id: z.string().regex(/^ses_[0-9a-z]{26}$/) });

/** What the server is made of. */
export interface HttpOptions {
  config: Config;
  paths: DataPaths;
  sessions: SessionService;
  keys: KeyStore;
  providers: Map<string, ProviderRecipe>;
  images: ImageStore;
  metrics: Metrics;
  /** Folder with viewer.html, viewer.js, viewer.css. */
  webDirectory: string;
  reap: (options: { dryRun: boolean }) => Promise<ReapResult>;
  /** Removes bridge, firewall table and resolver when no microVM is left. */
  tearDownNetwork: () => Promise<void>;
  /** Where they differ from LIMITS. */
  limits?: Partial<Limits>;
}

/** What routes may use. */
export interface HttpContext extends HttpOptions {
  limits: Limits;
  /** Sends an answer that goes on. */
  stream: ReturnType<typeof createLiveStreams>;
}

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;
