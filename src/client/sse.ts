import { AppError } from "../lib/errors.ts";

/** Longest event accepted, in characters. A view with every stage and a long verdict has some 20 thousand. */
const MAX_EVENT = 1024 * 1024;

/** The `data` of each server-sent event (WHATWG HTML, 9.2.6); comments, ids and names are passed over. */
export const readEvents = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    if (rest.length > MAX_EVENT) {
      throw new AppError("internal", "bad-answer", "The controller sent an event of more than a megabyte.");
    }
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) yield data.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
  }
};
