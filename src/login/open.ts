/** Mode `open`: a page to type a code into. Nothing comes back through the browser; the tool polls for itself. */
import type { Flow } from "./flow.ts";
import { finished, originOf } from "./relay.ts";
import { requireTool, withTool, type ToolFlowOptions } from "./tool-run.ts";
import { checkAuthorizeUrl } from "../handover/url-check.ts";

export const prepareOpen = async (options: ToolFlowOptions): Promise<Flow> => {
  requireTool(options);
  return (session, report) =>
    withTool(options, report, async ({ url, exited }) => {
      const wanted = await Promise.race([url(), session.ended()]);
      const checked = checkAuthorizeUrl(wanted, options.recipe);
      await session.open({ url: checked.url });
      report({ event: "opened", url: originOf(checked.url) });
      // The session's own deadline is this wait's.
      const exitCode = await Promise.race([exited, session.ended()]);
      return finished(options.recipe, exitCode, "without being signed in");
    });
};
