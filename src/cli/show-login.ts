/** A sign-in as a person sees it, or with --json as one JSON line for each event. */
import type { ProviderRecipe } from "../contract/provider.ts";
import type { LoginEvent } from "../login/login.ts";
import type { CliContext } from "./context.ts";
import { PAIRING_TRIES } from "../contract/session.ts";
import { duration } from "./output.ts";

/** Progress goes to standard error, and so does what the tool prints; standard output keeps the result. */
export const showLogin = (recipe: ProviderRecipe, context: CliContext): ((event: LoginEvent) => void) => {
  const { out, stderr } = context;
  if (context.isJson()) {
    return (event) => {
      if (event.event === "tool-output") stderr.write(event.text);
      else out.jsonLine(event);
    };
  }
  const step = (name: string, text: string): void => out.note(`  ${name.padEnd(14)}${text}`);
  if (recipe.betterWithout) out.note(`Where it works, this is better: ${recipe.betterWithout}\n`);

  return (event) => {
    switch (event.event) {
      case "started":
        out.note(`Signing in to ${recipe.title} as ${event.userId}, session ${event.sessionId}\n`);
        step("open", event.novncURL);
        step("pairing code", `${event.pairingCode}   (type it there; only this terminal shows it)`);
        step("fingerprint", `${event.keyFingerprint}   (the browser's first page must show the same)`);
        step("time left", `${duration(Date.parse(event.expiresAt) - Date.now())}\n`);
        return;
      case "stage":
        return step(event.stage, duration(event.durationMs));
      case "wrong-code":
        return step(
          "viewer",
          event.count < PAIRING_TRIES
            ? `a wrong pairing code was typed, ${event.count} of ${PAIRING_TRIES}; was it not you? Ctrl-C ends this session`
            : "locked after five wrong pairing codes; Ctrl-C ends this session, then start again",
        );
      case "warning":
        return step("slow", `${event.sentence}\n${" ".repeat(16)}${event.hint}`);
      case "warning-over":
        return step("goes on", `${event.code} is over`);
      case "ready":
        return step("ready", `after ${duration(event.ms)}; waiting for you to open the page and type the pairing code`);
      case "active":
        return step("viewer", "you are connected");
      case "tool-started":
        return step("tool", `${event.command.join(" ")}\n`);
      case "tool-output":
        // The person's own tool on the person's own terminal: its colours and questions are passed on as they are.
        return void stderr.write(event.text);
      case "opened":
        return step("opened", `${event.url}: sign in there by hand`);
      case "caught":
        return step("callback", "came back sealed and was opened here");
      case "answer-failed":
        return step("page", `the browser did not get its closing page: ${event.sentence}`);
      case "signed-in":
        return step("signed in", `after ${duration(event.ms)}`);
      case "destroyed":
        return step("destroyed", `${event.receipt.body.gone.length} resources seen gone`);
      case "destroy-failed":
        return step("not destroyed", `${event.sentence} The controller will, at its deadline.`);
    }
  };
};
