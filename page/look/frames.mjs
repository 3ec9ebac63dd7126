// node look/frames.mjs FILE: how long the frames take while a long story is moved, zoomed, scrubbed, searched.
import { chromium } from "playwright-core";
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
page.on("pageerror", (e) => console.log("error:", e.message));
const t0 = Date.now();
await page.goto(`file://${process.argv[2]}`, { waitUntil: "commit" });
await page.waitForSelector(".lanes canvas", { timeout: 60_000 });
console.log("first paint of lanes", Date.now() - t0, "ms after start");
await page.waitForFunction(() => document.querySelector(".pill")?.textContent === "finished", null, { timeout: 120_000 });
console.log("all loaded", Date.now() - t0, "ms after start");
await page.waitForTimeout(1500);
await page.evaluate(() => {
  // What the page itself takes for a frame: from the event to the end of the frame's work.
  window.work = [];
  const raf = window.requestAnimationFrame;
  window.requestAnimationFrame = (f) => raf((t) => { const a = performance.now(); f(t); window.work.push(performance.now() - a); });
  window.measure = async (name, count, act) => {
    window.work = [];
    const gaps = [];
    let last = performance.now();
    for (let i = 0; i < count; i++) {
      act(i);
      await new Promise((r) => raf(r));
      const now = performance.now();
      gaps.push(now - last);
      last = now;
    }
    const q = (list, p) => list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))]?.toFixed(1);
    return `${name}: frame to frame median ${q(gaps, 0.5)} p95 ${q(gaps, 0.95)} max ${q(gaps, 1)} ms; drawing median ${q(window.work, 0.5)} p95 ${q(window.work, 0.95)} ms`;
  };
});
// Beside the wall clock, which others on the machine slow down: the time that the page's own thread worked.
const cdp = await page.context().newCDPSession(page);
await cdp.send("Performance.setTimeDomain", { timeDomain: "threadTicks" }).catch(() => undefined);
await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
const worked = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value * 1000]));
const run = async (name, count, code) => {
  const before = await worked();
  const line = await measured(name, count, code);
  const after = await worked();
  const per = (what) => ((after[what] - before[what]) / count).toFixed(1);
  console.log(`${line}; of the processor a frame: script ${per("ScriptDuration")}, all ${per("TaskDuration")} ms`);
};
const measured = (name, count, code) => page.evaluate(([name, count, code]) => window.measure(name, count, new Function("i", code)), [name, count, code]);
const wheel = (dy, extra = "") => `const c = document.querySelector(".lanes canvas"); const b = c.getBoundingClientRect(); c.dispatchEvent(new WheelEvent("wheel", { deltaY: ${dy}, clientX: b.left + 600, clientY: b.top + 100, bubbles: true, cancelable: true ${extra} }));`;
await run("scroll lanes", 120, `document.querySelector(".lanes-scroll").scrollTop = i * 30;`);
await run("zoom in", 90, wheel(-60));
await run("pan", 120, wheel(120, ", shiftKey: true"));
await run("zoom out", 90, wheel(60));
await run("pan at middle zoom", 60, wheel("i < 20 ? -60 : 150", ", shiftKey: i >= 20"));
await page.keyboard.press("0");
await run("scrub", 60, `const r = document.querySelector(".scrubber input"); r.value = String(100000 - i * 1500); r.dispatchEvent(new Event("input", { bubbles: true }));`);
await page.click("text=State");
await run("scrub with state", 60, `const r = document.querySelector(".scrubber input"); r.value = String(100000 - i * 1500); r.dispatchEvent(new Event("input", { bubbles: true }));`);
await page.click("text=table");
await page.waitForTimeout(500);
await run("scroll table", 120, `document.querySelector(".list .rows").scrollTop = i * 9000;`);
await page.click("text=by agent");
for (const q of ["worker-007", "file:src/api/*", "edit_file"]) {
  const took = await page.evaluate(async (q) => {
    const input = document.querySelector("#search"); input.value = q; const a = performance.now(); input.dispatchEvent(new Event("input", { bubbles: true }));
    const before = document.querySelector(".filter .num")?.textContent;
    while (document.querySelector(".filter .num")?.textContent === before || !document.querySelector(".filter .num")) await new Promise((r) => setTimeout(r, 4));
    return performance.now() - a;
  }, q);
  console.log(`search ${q}: ${took.toFixed(0)} ms, 160 of which it waits for more letters`);
}
console.log("heap", await page.evaluate(() => Math.round(performance.memory.usedJSHeapSize / 1e6)), "MB");
await browser.close();
