import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { KeyStore } from "../access/keys.ts";
import type { Config } from "../config/config.ts";
import type { ImageView, ReapResponse, WarmView } from "../contract/api.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Sessions } from "../session/sessions.ts";
import type { createLiveStreams } from "./live-stream.ts";
import type { Limits } from "./limits.ts";

export const sessionParams = z.strictObject({ id: z.string().regex(/^ses_[0-9a-z]{26}$/) });

/** What the server is made of. */
export interface HttpOptions {
  config: Config;
  sessions: Sessions;
  keys: KeyStore;
  providers: Map<string, ProviderRecipe>;
  images: {
    /** Whether a sign-in could start from the configured one. */
    isReady(): Promise<boolean>;
    list(): Promise<ImageView[]>;
  };
  /** The warm snapshot. `make` does not wait for it. */
  warm: { state(): Promise<WarmView>; make(): Promise<void> };
  metrics: Metrics;
  /** Folder with viewer.html, viewer.js, viewer.css. */
  webDirectory: string;
  reap: (options: { dryRun: boolean }) => Promise<ReapResponse>;
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
