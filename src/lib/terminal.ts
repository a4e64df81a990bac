/**
 * Text of a hostile guest on its way to a person's terminal. A terminal is a programmable machine: sequences move its cursor,
 * change its title, write the clipboard (OSC 52), make it type. Colours are let through where wanted, nothing else is.
 */

/** A whole text without any sequence or control character but line ends and tabs; in one pass, however it is made. */
export const plainText = (text: string): string => {
  const filter = createTerminalFilter({ canColour: false });
  return filter.push(text) + filter.end();
};

/** What a guest says, as part of a sentence of ours: one line, bounded, so that it cannot pass for one. */
export const oneLine = (text: string): string => plainText(text).replaceAll(/\s+/g, " ").trim().slice(0, 300);

export const COLOUR_RESET = "\u001b[0m";

/** Parameters of a colour sequence that are kept while its end is awaited; a longer one is none. */
const LONGEST_SEQUENCE = 64;

const BELL = "\u0007";

type State = "text" | "escape" | "sequence" | "string" | "string-escape";

/** `canColour`: colour and weight sequences pass (SGR); else every sequence goes. Line ends and tabs always pass. */
export const createTerminalFilter = ({ canColour }: { canColour: boolean }) => {
  let state: State = "text";
  let sequence = "";
  let isColoured = false;
  let lastReturn = false;

  /** What a character means where the last one left off; the returned text is what the terminal gets. */
  const take = (character: string): string => {
    // No sequence goes over a line's end: one that is never closed hides a line at most.
    if (character === "\n") {
      state = "text";
      return character;
    }
    if (character === "\u001b" && state !== "string") return begin("escape");
    switch (state) {
      case "text":
        return plainCharacter(character);
      case "escape":
        if (character === "[") return begin("sequence");
        return begin("]PX^_".includes(character) ? "string" : isBetween(character, " ", "/") ? "escape" : "text");
      case "sequence":
        return inSequence(character);
      case "string":
        if (character === "\u001b") return begin("string-escape");
        return character === BELL || character === "\u009c" ? begin("text") : "";
      case "string-escape":
        return begin(character === "\\" ? "text" : "string");
    }
  };

  const begin = (next: State): string => {
    state = next;
    sequence = "";
    return "";
  };

  /** C1 controls are the same introducers in one character. */
  const plainCharacter = (character: string): string => {
    if (character === "\u009b") return begin("sequence");
    if (/[\u0090\u0098\u009d-\u009f]/.test(character)) return begin("string");
    return INVISIBLE.test(character) ? "" : character;
  };

  const inSequence = (character: string): string => {
    if (!isBetween(character, "@", "~")) {
      sequence = (sequence + character).slice(0, LONGEST_SEQUENCE + 1);
      return "";
    }
    const parameters = sequence;
    begin("text");
    if (!canColour || character !== "m" || !isColour(parameters)) return "";
    isColoured = true;
    return `\u001b[${parameters}m`;
  };

  return {
    /** What may be written of the next piece; a sequence may lie across pieces. */
    push: (text: string): string => {
      let shown = "";
      let from = 0;
      for (let at = 0; at < text.length; at++) {
        const code = text.charCodeAt(at);
        // Nearly all of a text: nothing is done for each character, it is taken over in runs.
        if (state === "text" && !lastReturn && isPlain(code)) continue;
        shown += text.slice(from, at);
        from = at + 1;
        if (state === "text" && !lastReturn && plainness[code] === DROPPED) continue;
        const character = String.fromCodePoint(text.codePointAt(at) ?? code);
        // A return alone goes back over what stands there already: it becomes a new line.
        if (lastReturn && character !== "\n" && character !== "\r") shown += take("\n");
        lastReturn = character === "\r";
        if (!lastReturn) shown += take(character);
        at += character.length - 1;
        from = at + 1;
      }
      return shown + text.slice(from);
    },
    /** To be written last: leaves the terminal with its own colours. */
    end: () => (isColoured ? COLOUR_RESET : ""),
  };
};

const isBetween = (character: string, first: string, last: string): boolean => character >= first && character <= last;

/** What is done with a code unit between sequences, for those that were met before. */
const plainness = new Uint8Array(0x1_0000);
const PLAIN = 1;
const DROPPED = 2;
/** May begin a sequence, end a line, or is half a character. */
const SPECIAL = 3;

const isPlain = (code: number): boolean => {
  if (plainness[code] === 0) {
    const character = String.fromCharCode(code);
    const isHalf = isBetween(character, "\ud800", "\udfff");
    if (isHalf || "\r\u001b\u0090\u0098\u009b\u009d\u009e\u009f".includes(character)) plainness[code] = SPECIAL;
    else plainness[code] = character !== "\n" && INVISIBLE.test(character) ? DROPPED : PLAIN;
  }
  return plainness[code] === PLAIN;
};

/** Control characters but tab (line ends are handled before), what is not seen or turns the direction of writing, other line ends. */
const INVISIBLE = /(?!\t)[\p{Cc}\p{Cf}\u2028\u2029]/u;

/** Colour, weight, underline, inverse. Not blinking, and not what hides text. */
const isColour = (parameters: string): boolean => {
  if (parameters === "") return true;
  if (parameters.length > LONGEST_SEQUENCE || !/^[\d;:]*$/.test(parameters)) return false;
  const codes = parameters.split(/[;:]/).map(Number);
  while (codes.length > 0) {
    const code = codes.shift() ?? 0;
    if (code === 38 || code === 48) codes.splice(0, codes[0] === 5 ? 2 : 4);
    else if (!/^([0-47]|2[1-9]|[34][0-79]|9[0-7]|10[0-7])$/.test(String(code))) return false;
  }
  return true;
};
