/** Puts the agent together: one method of the channel per line, and what each is made of. */
import { run } from "../lib/exec.ts";
import { createBrowser } from "./browser.ts";
import { createCatcher } from "./catcher.ts";
import { machineFacts } from "./facts.ts";
import { startHealthServer } from "./health-server.ts";
import { createConfigure } from "./identity.ts";
import { createMachine } from "./machine.ts";
import { createPort, type PortOptions } from "./port.ts";
import { createRenewal } from "./renewal.ts";
import { journal } from "./report.ts";
import { createRpcServer, type Handlers } from "./server.ts";
import { createSessionHolder } from "./session.ts";
import { unitFacts } from "./unit-facts.ts";
import { startWaitingPage } from "./waiting-page.ts";

export interface AgentOptions extends Pick<PortOptions, "openDevice"> {
  /** TCP ports; 0 lets the kernel choose (tests). */
  healthPort: number;
  pagePort: number;
  /** Folder that /proc, /sys, /etc and /run are looked for in; "/" but in tests. */
  root: string;
  log: (message: string) => void;
  runProgram?: typeof run;
}

export type Agent = Awaited<ReturnType<typeof startAgent>>;

export const startAgent = async (options: AgentOptions) => {
  const { openDevice, root, log, runProgram = run } = options;
  const session = createSessionHolder();
  const machine = createMachine({ root });
  const page = await startWaitingPage({ port: options.pagePort, session, onPainted: () => browser.notePainted() });
  const browser = createBrowser({ root, waitingPageUrl: page.url, runProgram });
  const renewal = createRenewal({ root, session, runProgram, log });
  const configure = createConfigure({ root, session, runProgram });
  const catcher = createCatcher({ session });
  const health = await startHealthServer(options.healthPort);

  const handlers: Handlers = {
    hello: async () => machine.hello(),
    ...renewal,
    configure,
    health: async () => ({ ...(await machine.health()), browser: await browser.state() }),
    open: async ({ url }) => browser.open(url),
    listen: async ({ port, path }) => catcher.listen(port, path),
    collect: async ({ waitMs }) => ({ caught: (await catcher.collect(waitMs)) ?? null }),
    answer: async ({ sealedAnswer }) => catcher.answer(sealedAnswer),
    facts: async () => machineFacts({ root, browser: () => browser.state() }),
    units: async () => unitFacts({ root, runProgram }),
    journal: async (params) => journal(params, runProgram),
  };

  const server = createRpcServer({ handlers, send: (line) => port.send(line), log });
  const port = createPort({ openDevice, onLine: (line) => void server.handleLine(line), log });
  return {
    healthPort: health.port,
    pagePort: page.port,
    stop: async (): Promise<void> => {
      catcher.close();
      await Promise.all([port.close(), page.close(), health.close()]);
    },
  };
};
