/**
 * The page Firefox starts on. It is the same bytes for every session: names and fingerprints come later as events and are
 * set as text, so there is no markup that could be escaped wrongly, and the policy can name script and style by digest.
 */
import { createHash } from "node:crypto";

const STYLE = `
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d9dee3; --mark: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171a; --card: #1d2125; --ink: #e8eaed; --soft: #9aa5b1; --line: #343b42; --mark: #4cc38a; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem; background: var(--ground);
  color: var(--ink); font: 17px/1.55 system-ui, "DejaVu Sans", sans-serif; }
main { width: 100%; max-width: 40rem; padding: 2.5rem 2.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; }
header { display: flex; align-items: center; gap: .8rem; color: var(--mark); font-weight: 600; }
h1 { margin: 1.4rem 0 .6rem; font-size: 1.7rem; line-height: 1.25; letter-spacing: -.01em; }
p { margin: 0; color: var(--soft); }
dl { margin: 1.8rem 0 0; border-top: 1px solid var(--line); }
dl div { display: grid; grid-template-columns: 10rem 1fr; gap: 1rem; padding: .8rem 0; border-bottom: 1px solid var(--line); }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
#fingerprint { font: 600 1.1em/1.4 "DejaVu Sans Mono", ui-monospace, monospace; }
#check { margin-top: 1.4rem; }
[hidden] { display: none !important; }
`;

const SCRIPT = `
const byId = (id) => document.getElementById(id);
const tell = (session) => {
  byId("title").textContent = "A sign-in page will open here";
  byId("provider").textContent = session.providerTitle;
  byId("user").textContent = session.userId;
  byId("fingerprint").textContent = session.fingerprint || "";
  byId("key").hidden = byId("check").hidden = !session.fingerprint;
  byId("session").hidden = false;
};
new EventSource("/events").addEventListener("session", (event) => tell(JSON.parse(event.data)));
requestAnimationFrame(() => requestAnimationFrame(() => fetch("/painted", { method: "POST" })));
`;

const sourceOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Nothing from anywhere but this page itself. */
export const WAITING_PAGE_CSP =
  `default-src 'none'; script-src ${sourceOf(SCRIPT)}; style-src ${sourceOf(STYLE)}; connect-src 'self'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const WAITING_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sallyport</title><link rel="icon" href="data:,"><style>${STYLE}</style></head>
<body>
<main>
  <header>
    <svg width="30" height="30" viewBox="0 0 30 30" fill="none" stroke="currentColor" stroke-width="2.2" aria-hidden="true">
      <path d="M3 27V8h4v3h4V8h8v3h4V8h4v19"/><path d="M10.5 27v-6a4.5 4.5 0 0 1 9 0v6M1.500 27h27"/>
    </svg>
    Sallyport
  </header>
  <h1 id="title">This browser is getting ready</h1>
  <p>It runs in a machine of its own that is destroyed when the sign-in is over. Nothing is recorded or kept.</p>
  <div id="session" aria-live="polite" hidden>
    <dl>
      <div><dt>Signing in to</dt><dd id="provider"></dd></div>
      <div><dt>Asked for by</dt><dd id="user"></dd></div>
      <div id="key"><dt>Key</dt><dd id="fingerprint"></dd></div>
    </dl>
    <p id="check">Go on only if you started this yourself, and if your terminal shows the same key.</p>
  </div>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
