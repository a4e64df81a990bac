/** An end that a person can do something about: `message` says what is the matter, `hint` what to do. */
export class Refusal extends Error {
  /** @override */
  name = "Refusal";

  /**
   * @param {string} message
   * @param {string} hint
   */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}
