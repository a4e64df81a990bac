/**
 * The identity provider's pages. Their layout is fixed to the pixel and each begins with a band of its own colour, so that
 * a program which only sees a screen (person.ts) can tell them apart and knows where the fields are.
 */

export type Colour = readonly [red: number, green: number, blue: number];

/** Solid colour of the band that begins each page. */
export const BANDS = {
  login: [37, 99, 175],
  consent: [21, 128, 61],
  error: [185, 28, 28],
} as const satisfies Record<string, Colour>;

export type PageName = keyof typeof BANDS;

export interface Box {
  left: number;
  /** Below the lower edge of the band. */
  top: number;
  width: number;
  height: number;
}

/** Where things are, in CSS pixels below the band. */
export const BOXES = {
  userName: { left: 64, top: 72, width: 480, height: 56 },
  password: { left: 64, top: 184, width: 480, height: 56 },
  submit: { left: 64, top: 272, width: 240, height: 64 },
} as const satisfies Record<string, Box>;

const BAND_HEIGHT = 96;
const LABEL_HEIGHT = 36;

export const loginPage = (options: { hasFailed: boolean }): string =>
  page("login", "Sign in", [
    label(BOXES.userName, "userName", "User name"),
    `<input id="userName" name="userName" autocomplete="off" autofocus required ${at(BOXES.userName)}>`,
    label(BOXES.password, "password", "Password"),
    `<input id="password" name="password" type="password" autocomplete="off" required ${at(BOXES.password)}>`,
    `<button ${at(BOXES.submit)}>Sign in</button>`,
    options.hasFailed ? `<p role="alert" ${at(MESSAGE)}>The user name or the password is wrong.</p>` : "",
  ]);

export const consentPage = (options: { account: string; client: string; scopes: string[] }): string =>
  page("consent", "Allow access?", [
    `<p ${at(QUESTION)}><b>${escape(options.client)}</b> wants to act for <b>${escape(options.account)}</b>.</p>`,
    `<p ${at(SCOPES)}>It asks for: ${escape(options.scopes.join(", "))}</p>`,
    `<button autofocus ${at(BOXES.submit)}>Continue</button>`,
  ]);

export const errorPage = (sentence: string): string =>
  page("error", "That did not work", [`<p role="alert" ${at(QUESTION)}>${escape(sentence)}</p>`]);

const MESSAGE: Box = { left: 64, top: 352, width: 800, height: 40 };
const QUESTION: Box = { left: 64, top: 40, width: 1000, height: 72 };
const SCOPES: Box = { left: 64, top: 120, width: 1000, height: 136 };

const page = (name: PageName, title: string, parts: string[]): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<style>
  * { box-sizing: border-box; margin: 0; font: 24px sans-serif; }
  html { background: #fff; color: #111; }
  h1 { height: ${BAND_HEIGHT}px; padding: 24px 64px; font-size: 36px; color: #fff; background: rgb(${BANDS[name].join()}); }
  main > * { position: absolute; overflow: hidden; }
  input { padding: 0 16px; border: 2px solid #111; background: #fff; color: #111; }
  button { border: 0; background: #111; color: #fff; }
  b { font-weight: bold; }
  :focus { outline: 4px solid #f59e0b; outline-offset: 2px; }
</style>
<h1>${title}</h1>
<form method="post" autocomplete="off"><main>
${parts.join("\n")}
</main></form>
</html>
`;

const at = (box: Box): string =>
  `style="left:${box.left}px;top:${BAND_HEIGHT + box.top}px;width:${box.width}px;height:${box.height}px"`;

const label = (box: Box, forId: string, text: string): string =>
  `<label for="${forId}" ${at({ ...box, top: box.top - LABEL_HEIGHT, height: LABEL_HEIGHT })}>${text}</label>`;

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
