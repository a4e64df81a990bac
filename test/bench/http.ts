import { request } from "node:http";

/** Milliseconds from the question to the answer's end. */
export const getMs = (socketPath: string, path: string, key?: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    request({ socketPath, path, headers }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${path} answered ${answer.statusCode}`));
      answer.resume().on("end", () => resolve(performance.now() - startedAt));
    })
      .on("error", reject)
      .end();
  });
