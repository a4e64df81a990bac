/** The only file that reads `process.env`. No defaults here: what is not set is undefined. */
export interface Env {
  configFile: string | undefined;
  dataDir: string | undefined;
  /** Where the command line finds the controller: https://… or unix:/path. */
  url: string | undefined;
  /** Where its viewers do, if that is elsewhere. */
  publicUrl: string | undefined;
  /** API key of the command line. */
  key: string | undefined;
  logLevel: string | undefined;
  home: string | undefined;
  path: string | undefined;
  /** Everything, for the unmodified tool that `login` starts. */
  all: Record<string, string | undefined>;
}

export const readEnv = (): Env => ({
  configFile: process.env.SALLYPORT_CONFIG,
  dataDir: process.env.SALLYPORT_DATA_DIR,
  url: process.env.SALLYPORT_URL,
  publicUrl: process.env.SALLYPORT_PUBLIC_URL,
  key: process.env.SALLYPORT_KEY,
  logLevel: process.env.SALLYPORT_LOG_LEVEL,
  home: process.env.HOME,
  path: process.env.PATH,
  all: { ...process.env },
});
