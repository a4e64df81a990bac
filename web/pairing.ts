/** Asks for the pairing code until the server takes it. */
import { Refused, type SessionApi } from "./api.ts";
import { byId } from "./dom.ts";
import { pairingCodeOf } from "./words.ts";

/** Resolves once paired. */
export const askForCode = (api: SessionApi): Promise<void> =>
  new Promise((resolve) => {
    const form = byId("pairing", HTMLFormElement);
    const input = byId("pairing-code", HTMLInputElement);
    const button = byId("pair", HTMLButtonElement);
    input.focus();

    const submit = async (event: SubmitEvent): Promise<void> => {
      event.preventDefault();
      const code = pairingCodeOf(input.value);
      if (code === undefined) return complain("The code has eight letters and digits, like AB12-CD34.");
      button.disabled = true;
      try {
        await api.pair(code);
        input.value = "";
        complain("");
        form.removeEventListener("submit", onSubmit);
        resolve();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        complain(error.sentences);
      } finally {
        button.disabled = false;
      }
    };

    const onSubmit = (event: SubmitEvent): void => void submit(event);
    form.addEventListener("submit", onSubmit);

    const complain = (text: string): void => {
      byId("pairing-error").textContent = text;
      input.setAttribute("aria-invalid", String(text !== ""));
      if (text === "") return;
      input.focus();
      input.select();
    };
  });
