/** Words and numbers along the lanes. */

export function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return Math.max(1, [1, 2, 5, 10].find((k) => k * power >= least)! * power);
}

export function fitText(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  // Names of many agents often differ at their ends alone.
  const tail = text.length > 8 ? text.slice(-3) : "";
  let end = text.length - tail.length;
  while (end > 1 && ctx.measureText(`${text.slice(0, end)}…${tail}`).width > width) end -= 1;
  return `${text.slice(0, end)}…${tail}`;
}

/** The beginning of a text, as much of it as there is room for. */
export function cutText(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ctx.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low).trimEnd()}…`;
}

/** Times before this are not those of a day: runs on a virtual clock begin at 0. */
export const VIRTUAL = 1e11;

/** The time of day where it tells moments apart, with tenths of a second where the whole story is short. */
export function clock(ms: number, times: readonly number[]): string {
  if (!Number.isFinite(ms)) return "";
  if (ms < VIRTUAL) return `${Math.floor(ms / 60_000)}:${((ms % 60_000) / 1000).toFixed(1).padStart(4, "0")}`;
  const date = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const whole = (times.at(-1) ?? 0) - (times.find((time) => !Number.isNaN(time)) ?? 0);
  return whole < 20_000 ? `${text}.${String(date.getMilliseconds()).padStart(3, "0").slice(0, 1)}` : text;
}
