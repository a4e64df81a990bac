import type { Page } from "playwright-core";
import { poll } from "../src/lib/wait.ts";
import { BANDS, type Box, type PageName } from "./identity-pages.ts";

/** Where a band was seen, in pixels of the remote screen. */
export interface Band {
  page: PageName;
  left: number;
  /** First row below the band. */
  bottom: number;
}

/** The remote screen as a person has it before them: its pixels, a pointer and a keyboard. */
export interface Screen {
  /** The page whose band is on the screen now, or undefined. */
  look(): Promise<Band | undefined>;
  /** Dark pixels within a box, without its border: whether something was written there. */
  inkIn(band: Band, box: Box): Promise<number>;
  click(band: Band, box: Box): Promise<void>;
  type(text: string): Promise<void>;
  press(key: string): Promise<void>;
}

/** Of the browser's objects, what is used here: the compiler settings know no DOM. */
interface Canvas {
  width: number;
  height: number;
  getContext(kind: "2d"): {
    getImageData(left: number, top: number, width: number, height: number): { data: Uint8ClampedArray };
  };
}
declare const document: { querySelector(selector: string): Canvas | null };

const CANVAS = "#screen canvas";
const TYPING_DELAY_MS = 60;

/** Waits for the viewer's canvas and gives its screen. Throws AppError `deadline` after `timeoutMs`. */
export const findScreen = async (page: Page, timeoutMs: number, signal: AbortSignal): Promise<Screen> => {
  const canvas = page.locator(CANVAS);
  await poll(async () => ((await canvas.count()) > 0 && (await canvas.isVisible()) ? true : undefined), {
    what: "the screen to appear in the viewer",
    timeoutMs,
    intervalMs: 250,
    signal,
  });
  return {
    look: () => page.evaluate(findBand, { selector: CANVAS, bands: Object.entries(BANDS) }),
    inkIn: (band, box) => page.evaluate(countDark, { selector: CANVAS, ...inset(place(band, box), 6) }),
    click: async (band, box) => {
      const { left, top, width, height } = place(band, box);
      const size = await page.evaluate(sizeOf, CANVAS);
      const shown = await canvas.boundingBox();
      if (!size || !shown) return;
      // The viewer may show the screen smaller than it is.
      const x = ((left + width / 2) * shown.width) / size.width;
      const y = ((top + height / 2) * shown.height) / size.height;
      await canvas.click({ position: { x, y } });
    },
    type: async (text) => {
      await canvas.focus();
      await page.keyboard.type(text, { delay: TYPING_DELAY_MS });
    },
    press: async (key) => {
      await canvas.focus();
      await page.keyboard.press(key, { delay: TYPING_DELAY_MS });
    },
  };
};

const place = (band: Band, box: Box): Box => ({ ...box, left: band.left + box.left, top: band.bottom + box.top });

const inset = (box: Box, by: number): Box => ({
  left: box.left + by,
  top: box.top + by,
  width: box.width - 2 * by,
  height: box.height - 2 * by,
});

/*
 * What follows runs inside the viewer's browser: each function stands alone.
 */

const sizeOf = (selector: string): { width: number; height: number } | undefined => {
  const canvas = document.querySelector(selector);
  return canvas ? { width: canvas.width, height: canvas.height } : undefined;
};

const countDark = (options: { selector: string } & Box): number => {
  const canvas = document.querySelector(options.selector);
  if (!canvas) return 0;
  const { data } = canvas.getContext("2d").getImageData(options.left, options.top, options.width, options.height);
  let dark = 0;
  for (let at = 0; at < data.length; at += 4) {
    if ((data[at] ?? 255) + (data[at + 1] ?? 255) + (data[at + 2] ?? 255) < 384) dark += 1;
  }
  return dark;
};

/** A band is a run of 60 rows at least, each with its colour on three quarters of a screen's width (the title is in it). */
const findBand = (options: { selector: string; bands: [string, readonly number[]][] }): Band | undefined => {
  const TOLERANCE = 12;
  const MIN_ROWS = 60;
  const canvas = document.querySelector(options.selector);
  if (!canvas || canvas.width === 0 || canvas.height === 0) return undefined;
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const isColour = (at: number, colour: readonly number[]): boolean =>
    [0, 1, 2].every((part) => Math.abs((data[at + part] ?? -99) - (colour[part] ?? -99)) <= TOLERANCE);
  for (const [page, colour] of options.bands) {
    let rows = 0;
    let left = width;
    for (let y = 0; y <= height; y += 1) {
      let matches = 0;
      let first = width;
      for (let x = 0; y < height && x < width; x += 1) {
        if (!isColour((y * width + x) * 4, colour)) continue;
        matches += 1;
        first = Math.min(first, x);
      }
      if (matches >= width * 0.75) {
        rows += 1;
        left = Math.min(left, first);
      } else if (rows >= MIN_ROWS) {
        return { page: page as Band["page"], left, bottom: y };
      } else {
        rows = 0;
        left = width;
      }
    }
  }
  return undefined;
};
