/** An element that viewer.html is known to have. Throws when it has not, or is of another kind. */
export const byId = <E extends HTMLElement = HTMLElement>(
  id: string,
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  kind: new () => E = HTMLElement as new () => E,
): E => {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`viewer.html has no ${kind.name} #${id}`);
  return element;
};

export const show = (id: string, isVisible: boolean): void => {
  byId(id).hidden = !isVisible;
};

export const onClick = (id: string, listener: () => void): void => byId(id).addEventListener("click", listener);
