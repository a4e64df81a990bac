/** Bars of how long each stage of a start took, as SVG. Pure. */

export interface Bar {
  name: string;
  /** Milliseconds from the request on. */
  from: number;
  to: number;
}

export interface Lane {
  title: string;
  bars: Bar[];
}

const WIDTH = 860;
const LEFT = 150;
const ROW = 22;
const COLOURS = ["#4c6ef5", "#15aabf", "#40c057", "#fab005", "#fd7e14", "#e64980", "#7950f2", "#868e96"];

const escaped = (text: string): string =>
  text.replace(/[&<>]/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[one] ?? one);

/** Each lane has a scale of its own: beside a boot a restore would be a line. */
export const chart = (lanes: readonly Lane[]): string => {
  let y = 10;
  const parts: string[] = [];
  const text = (x: number, at: number, words: string, more = ""): void =>
    void parts.push(`<text x="${x}" y="${at}" ${more}>${escaped(words)}</text>`);
  for (const { title, bars } of lanes) {
    const end = Math.max(...bars.map(({ to }) => to), 1);
    const scale = (WIDTH - LEFT - 90) / end;
    text(8, y + 15, title, 'font-weight="bold"');
    y += ROW + 4;
    for (const [index, { name, from, to }] of bars.entries()) {
      const width = Math.max((to - from) * scale, 1);
      text(LEFT - 8, y + 14, name, 'text-anchor="end"');
      parts.push(
        `<rect x="${(LEFT + from * scale).toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 5}" fill="${COLOURS[index % COLOURS.length]}"/>`,
      );
      text(LEFT + from * scale + width + 6, y + 14, `${((to - from) / 1000).toFixed(2)} s`, 'fill="#666"');
      y += ROW;
    }
    y += 14;
  }
  const style = 'font-family="system-ui, sans-serif" font-size="13"';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" ${style}>\n<rect width="100%" height="100%" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
};
