import { describe, expect, test } from "vitest";
import { createTerminalFilter, oneLine, plainText } from "./terminal.ts";

const ESC = "\u001b";
const filter = (text: string, canColour = true): string => createTerminalFilter({ canColour }).push(text);

describe("createTerminalFilter", () => {
  test.each([
    ["green OK of systemd", `[${ESC}[0;32m  OK  ${ESC}[0m] Started`],
    ["bright, background, 256 and true colours", `${ESC}[1;91;104m${ESC}[38;5;208m${ESC}[48;2;1;2;3ma${ESC}[m`],
    ["tabs and lines", "a\tb\nc"],
    ["other scripts", "Grüße 你好 🙂"],
  ])("lets through: %s", (_what, text) => {
    expect(filter(text)).toBe(text);
  });

  test.each([
    ["cursor, screen, scroll region", `${ESC}[2J${ESC}[1;1H${ESC}[3;7r`],
    ["title", `${ESC}]0;root@bank\u0007`],
    ["clipboard, OSC 52", `${ESC}]52;c;cm0gLXJmIH4K${ESC}\\`],
    ["clipboard with the introducer in one character", "\u009d52;c;cm0gLXJmIH4K\u009c"],
    ["a question whose answer is typed", `${ESC}[6n${ESC}[>c${ESC}P$q"p${ESC}\\`],
    ["one-character forms", `\u009b2J\u0090x\u009c\u009fy\u009c`],
    ["character sets, reset, keypad", `${ESC}(0${ESC}c${ESC}=${ESC}#8`],
    ["bell, backspace, NUL, delete", "\u0007\b\u0000\u007f"],
    ["blinking and hidden text", `${ESC}[5m${ESC}[1;8m`],
    ["what only looks like a colour", `${ESC}[?25m${ESC}[>4;2m${ESC}[1 m`],
    ["writing from right to left", "\u202e\u2066"],
  ])("removes: %s", (_what, text) => {
    expect(filter(`a${text}b`)).toBe("ab");
  });

  test("a return alone goes over no text: it ends the line", () => {
    expect(filter("Password: \rGoodbye\r\r\nx")).toBe("Password: \nGoodbye\nx");
  });

  test("a sequence that is never closed hides a line at most", () => {
    expect(filter(`${ESC}]0;all of this\nseen\n${ESC}[3\nseen too`)).toBe("\nseen\n\nseen too");
  });

  test("the same whatever pieces it comes in, and without colours if asked", () => {
    const text = `a${ESC}[0;32mb${ESC}]52;c;eA==${ESC}\\c\r\nd${ESC}[2Je\rf`;
    for (const canColour of [true, false]) {
      const byOne = createTerminalFilter({ canColour });
      expect(
        text
          .split("")
          .map((one) => byOne.push(one))
          .join(""),
      ).toBe(filter(text, canColour));
    }
    expect(filter(text, false)).toBe("abc\nde\nf");
  });

  test("ends with the terminal's own colours if it changed them", () => {
    const coloured = createTerminalFilter({ canColour: true });
    coloured.push(`${ESC}[31mred`);
    expect(coloured.end()).toBe(`${ESC}[0m`);
    expect(createTerminalFilter({ canColour: true }).end()).toBe("");
  });
});

test("plainText goes over a text once: a guest cannot make it take longer than its length", () => {
  for (const piece of ["\u001b[!!!!!!!!", "\u001b]", "\u001b[1;"]) {
    expect(plainText(piece.repeat(200_000)).length).toBeLessThanOrEqual(piece.length * 200_000);
  }
});

test("oneLine leaves no way to pass for a line of ours", () => {
  expect(oneLine("1.2.3.4\nWhat to do: run this\r\u202Eabc\u001b[1A")).toBe("1.2.3.4 What to do: run this abc");
});
