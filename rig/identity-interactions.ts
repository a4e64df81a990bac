import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Provider } from "oidc-provider";
import { z } from "zod";
import { messageOf } from "../src/lib/errors.ts";
import { consentPage, errorPage, loginPage } from "./identity-pages.ts";
import type { Account, IdentityEvent } from "./identity-shapes.ts";

interface Options {
  provider: Provider;
  accounts: Account[];
  clients: { clientId: string; name: string }[];
  report: (event: IdentityEvent) => void;
}

const interactionParameters = z.object({ client_id: z.string(), scope: z.string().default("") });

type Details = Awaited<ReturnType<Provider["interactionDetails"]>>;

/** Answers /interaction/…: the login page, then the consent page. */
export const createInteractions =
  (options: Options) =>
  async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const details = await options.provider.interactionDetails(request, response);
      const { name } = details.prompt;
      if (name === "login") await login(options, request, response);
      else if (name === "consent") await consent(options, details, request, response);
      else send(response, 501, errorPage(`This provider has no page for "${name}".`));
    } catch (error) {
      options.report({ event: "error", message: messageOf(error) });
      send(response, 400, errorPage(`This sign-in is not known, or is over: ${messageOf(error)}.`));
    }
  };

const login = async (
  { provider, accounts, report }: Options,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  if (request.method !== "POST") {
    report({ event: "shown", page: "login" });
    send(response, 200, loginPage({ hasFailed: false }));
    return;
  }
  const form = new URLSearchParams(await text(request));
  const userName = form.get("userName") ?? "";
  const account = accounts.find((known) => known.userName === userName);
  const isRight = account !== undefined && isSame(account.password, form.get("password") ?? "");
  report({ event: "login", userName, ok: isRight });
  if (!isRight) {
    send(response, 200, loginPage({ hasFailed: true }));
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: account.sub } });
};

const consent = async (
  { provider, accounts, clients, report }: Options,
  details: Details,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const { client_id: clientId, scope } = interactionParameters.parse(details.params);
  const sub = details.session?.accountId ?? "";
  if (request.method !== "POST") {
    report({ event: "shown", page: "consent" });
    const account = accounts.find((known) => known.sub === sub)?.name ?? sub;
    const client = clients.find((known) => known.clientId === clientId)?.name ?? clientId;
    send(response, 200, consentPage({ account, client, scopes: scope.split(" ") }));
    return;
  }
  const grant = new provider.Grant({ accountId: sub, clientId });
  grant.addOIDCScope(scope);
  report({ event: "consent", sub, clientId });
  await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
};

const isSame = (expected: string, given: string): boolean => {
  const [left, right] = [Buffer.from(expected), Buffer.from(given)];
  return left.length === right.length && timingSafeEqual(left, right);
};

const send = (response: ServerResponse, status: number, html: string): void => {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  });
  response.end(html);
};
