/** A page of one heading and one sentence of ours; both are constants of this code, never somebody else's text. */
export const plainPage = (heading: string, sentence: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sallyport</title><link rel="icon" href="data:,"><style>
:root { color-scheme: light dark; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; text-align: center; padding: 2rem;
  font: 17px/1.55 system-ui, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .6rem; font-size: 1.7rem; }
p { margin: 0; opacity: .75; }
</style></head>
<body><main><h1>${heading}</h1><p>${sentence}</p></main></body>
</html>
`;
