/** The only file that reads `process.env`. No defaults here: what is not set, or empty, is undefined. */
export const readEnv = () => ({
  configFile: process.env.SALLYPORT_CONFIG || undefined,
  dataDir: process.env.SALLYPORT_DATA_DIR || undefined,
  /** Where the command line finds the controller: https://… or unix:/path. */
  url: process.env.SALLYPORT_URL || undefined,
  /** Where its viewers do, if that is elsewhere. */
  publicUrl: process.env.SALLYPORT_PUBLIC_URL || undefined,
  /** API key of the command line. */
  key: process.env.SALLYPORT_KEY || undefined,
  logLevel: process.env.SALLYPORT_LOG_LEVEL || undefined,
  home: process.env.HOME,
  path: process.env.PATH,
  /** Everything, for the unmodified tool that `login` starts. */
  all: { ...process.env },
});

export type Env = ReturnType<typeof readEnv>;
