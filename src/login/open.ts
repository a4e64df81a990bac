/** Mode `open`: a page to type a code into. Nothing comes back through the browser; the tool polls for itself. */
import type { Flow } from "./flow.ts";
import { finished, openInGuest } from "./relay.ts";
import { requireTool, withTool, type ToolFlowOptions } from "./tool-run.ts";

export const prepareOpen = async (options: ToolFlowOptions): Promise<Flow> => {
  requireTool(options);
  return (session, report) =>
    withTool(options, report, async ({ url, exited }) => {
      await openInGuest(await Promise.race([url(), session.ended()]), options.recipe, session, report);
      // The session's own deadline is this wait's.
      const exitCode = await Promise.race([exited, session.ended()]);
      return finished(options.recipe, exitCode, "without being signed in");
    });
};
