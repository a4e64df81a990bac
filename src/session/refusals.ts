/** What the service says no to, in words. */
import { userId } from "../contract/api.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { Image } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import type { CheckedUrl } from "../handover/url-check.ts";
import type { Session } from "./session.ts";

export const requireUsable = (recipe: ProviderRecipe | undefined, name: string): ProviderRecipe => {
  if (!recipe) {
    throw new AppError("not-found", "unknown-provider", `There is no provider "${name}" on this host.`, {
      hint: "GET /api/providers (sallyport providers) lists them; a recipe is one YAML file in the data directory's providers/.",
    });
  }
  if (recipe.mode === "oidc" && (!recipe.issuer || !recipe.clientId)) {
    const sentence = `The provider "${name}" has no issuer or client id on this host.`;
    throw new AppError("unavailable", "provider-not-configured", sentence, {
      hint: `Set providers.${name}.issuer and providers.${name}.clientId in the configuration.`,
    });
  }
  return recipe;
};

/** Keys made before there was a rule may have users who are shown as somebody else. Throws `user-id-unusable` (403). */
export const requireUserId = (id: string): void => {
  if (userId.safeParse(id).success) return;
  const sentence = "The user of this API key has characters in its name that are not seen or pass for others.";
  throw new AppError("forbidden", "user-id-unusable", sentence, {
    hint: "The operator makes a new key: sallyport keys add USER, of plain letters and digits.",
  });
};

export const requireImage = (image: Image | undefined, name: string): Image => {
  if (image) return image;
  throw new AppError("unavailable", "no-image", `There is no image named "${name}" on this host.`, {
    hint: `Build it: sallyport image build --name ${name}`,
  });
};

export const requireRecipient = (session: Session, checked: CheckedUrl): void => {
  if (!checked.callback || session.recipientKey !== null) return;
  const hint = "Start a session with recipientKey, or send the URL without callback.";
  throw noRecipientKey("a callback could be caught, but not handed over", hint);
};

export const notReady = ({ state }: Session): AppError =>
  new AppError("conflict", "not-ready", `The browser is not ready: the session is ${state}.`, {
    hint: "Wait for the state ready or active (GET …/events), then send the URL.",
  });

export const alreadyOpened = (): AppError =>
  new AppError("conflict", "already-opened", "This session has opened its one URL already.", {
    hint: "Start a new session for another sign-in.",
  });

export const noRecipient = (): AppError => {
  const hint = "Start a session with recipientKey (sallyport login does) to receive the result.";
  return noRecipientKey("nothing can be handed over", hint);
};

const noRecipientKey = (means: string, hint: string): AppError =>
  new AppError("conflict", "no-recipient-key", `This session was started without a recipientKey: ${means}.`, { hint });

export const alreadyAnswered = (): AppError =>
  new AppError("gone", "credential-taken", "The result was fetched and answered already.");

export const nothingToAnswer = (): AppError =>
  new AppError("conflict", "nothing-to-answer", "No caught request of this session waits for an answer.");

export const answering = (): AppError =>
  new AppError("conflict", "answering", "An answer is on its way to the browser already.");

export const stopping = (): AppError =>
  new AppError("unavailable", "stopping", "The controller is stopping; what it has begun, the next one ends.", {
    retryAfterSec: 10,
  });

export const over = ({ state, outcome, verdict }: Session): AppError =>
  new AppError("gone", "session-over", `The session is over (${state}${outcome ? `, ${outcome}` : ""}).`, {
    hint: verdict?.sentence ?? "Start a new sign-in.",
  });
